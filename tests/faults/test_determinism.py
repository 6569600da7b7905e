"""Same seed, same files, byte for byte: from one process to the next, and on one thread or two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from data_factory import FLAGS, ROOT, part, parts, write_photos
from kills import files_in
from random_networks import random_state, without_head
from safetensors.torch import save_file

from fastener.models.runtime.storage import load_state

pytestmark = pytest.mark.slow

PATCHCORE, AUTOENCODER = "cnn,filters,colour,global", "autoencoder"
TOLERANCE = 1e-5  # of the weights of an autoencoder, and of what it says, on another number of threads

CHILD = """
import json, sys
from data_factory import run_inside
for words in json.loads(sys.argv[1]):
    done = run_inside(*words)
    assert done.returncode == 0, done.stderr
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What processes of their own wrote, with other threads and other seeds of Python's own hashes."""
    home = tmp_path_factory.mktemp("runs")
    write_photos(home / "good", parts(8))
    write_photos(home / "more", parts(3, first=20))
    write_photos(home / "test", [*parts(3, first=40), part(50, "rust")])
    save_file(without_head(random_state("resnet18")), home / "resnet18.safetensors")
    kinds = {"one": (1, 0), "again": (1, 7), "two": (2, 3)}
    return {name: _run(home, home / name, threads, hashes) for name, (threads, hashes) in kinds.items()}


def test_every_run_writes_the_same_files(runs: dict[str, Path]) -> None:
    first = files_in(runs["one"])
    assert {"updated.pkl", f"{AUTOENCODER}.pkl", "results/results.json", "results/results.csv"} <= first.keys()
    assert files_in(runs["again"]) == first


def test_patchcore_is_the_same_on_one_thread_and_two(runs: dict[str, Path]) -> None:
    one, two = files_in(runs["one"]), files_in(runs["two"])
    assert one.keys() == two.keys()
    assert {name for name in one if one[name] != two[name]} <= {f"{AUTOENCODER}.pkl", "other.pkl"}


def test_an_autoencoder_is_the_same_within_rounding(runs: dict[str, Path]) -> None:
    one, two = (load_state(runs[name] / f"{AUTOENCODER}.pkl") for name in ("one", "two"))
    for a, b in zip(_weights(one), _weights(two), strict=True):
        assert float((a - b).abs().max()) < TOLERANCE
    scores = [state["decision"]["healthy"][AUTOENCODER] for state in (one, two)]
    torch.testing.assert_close(*scores, rtol=TOLERANCE, atol=TOLERANCE)


def test_another_seed_writes_another_model(runs: dict[str, Path]) -> None:
    one, other = (load_state(runs["one"] / f"{name}.pkl") for name in (AUTOENCODER, "other"))
    assert max(float((a - b).abs().max()) for a, b in zip(_weights(one), _weights(other), strict=True)) > 0.01


def _run(home: Path, folder: Path, threads: int, hashes: int) -> Path:
    """Train, update, inspect and train an autoencoder, twice, in one process."""
    model, weights = folder / "model.pkl", ("--weights", home / "resnet18.safetensors")
    photos, updated = ("--images", home / "good"), folder / "updated.pkl"
    small = ("--set", "autoencoder.side=32", "--set", "autoencoder.epochs=3")
    cnn = ("--set", "preprocess.size=64", "--coreset-ratio", "0.1", "--backbone", "resnet18", "--device", "cpu")
    work: list[tuple[object, ...]] = [
        ("train.py", *photos, *cnn, *weights, "--evidence", PATCHCORE, "--output", model),
        ("train.py", "--update", model, *weights, "--images", home / "more", "--device", "cpu", "--output", updated),
        ("inference.py", "--model", updated, *weights, "--dir", home / "test", "--visualize", "--json", "--csv"),
    ]
    work[-1] += ("--device", "cpu", "--output", folder / "results")
    for name, seed in ((AUTOENCODER, 42), ("other", 43)):
        words = (*FLAGS, *small, "--evidence", AUTOENCODER, "--seed", seed, "--output", folder / f"{name}.pkl")
        work.append(("train.py", *photos, *words))
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "PYTHONHASHSEED": str(hashes),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
    }
    command = [sys.executable, "-c", CHILD, json.dumps([[str(word) for word in words] for words in work])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def _weights(state: dict[str, Any]) -> list[torch.Tensor]:
    weights: dict[str, torch.Tensor] = state["evidence"][AUTOENCODER]["weights"]
    return [value for value in weights.values() if value.is_floating_point()]
