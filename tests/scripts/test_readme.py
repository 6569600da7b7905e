"""The README's commands: every flag exists, every file it names is there, and its tours run as written."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from data_factory import ROOT, parts, run_inside, write_photos
from mvtec_factory import write_category

from fastener.datasets.synthetic.ct import write_ct_dataset
from fastener.inspection.writers import WRITERS

README = (ROOT / "README.md").read_text(encoding="utf-8")
# Small pictures and no downloads; the commands themselves stay as they are.
SMALL = ("--set", "preprocess.size=64", "--set", "model.coreset_ratio=0.1", "--backbone", "filters")


def commands() -> list[list[str]]:
    """The words of every line of a code block that calls one of the scripts."""
    blocks = re.findall(r"^```\n(.*?)^```", README, flags=re.M | re.S)
    lines = [line.split(" #")[0] for block in blocks for line in block.splitlines()]
    words = [shlex.split(line) for line in lines]
    return [line[1:] for line in words if len(line) > 1 and line[0].endswith("python") and line[1].endswith(".py")]


COMMANDS = commands()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_flag_and_script_exists(command: list[str]) -> None:
    script, *words = command
    assert (ROOT / script).is_file()
    source = (ROOT / script).read_text() + "".join(
        (ROOT / name).read_text()
        for name in ("commands/cli.py", "commands/data.py", "commands/training.py", "commands/threshold_search.py")
    )
    source += "".join(f'"--{name.replace("_", "-")}"' for name in WRITERS)
    for word in words:
        if word.startswith("--"):
            assert f'"{word}"' in source, f"{script} has no {word}"


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> Path:
    """What the README takes for granted: photos of good parts, new ones, a labelled folder, a research folder."""
    folder = tmp_path_factory.mktemp("readme")
    write_photos(folder / "photos/good", parts(10))
    write_photos(folder / "photos/incoming", [*parts(2, 50), *parts(2, 60, "rust")])
    shutil.copytree(data_dir, folder / "data/mine")
    shutil.copytree(data_dir / "components", folder / "photos/components")
    shutil.copytree(ROOT / "configs", folder / "configs")
    write_ct_dataset(folder / "data/ct_good", good=2, cracked=0, slices=4)
    write_ct_dataset(folder / "data/ct", good=1, cracked=1, slices=8, seed=1)
    for name in ("screw", "nut"):
        write_category(folder / "mvtec" / name, n_train=6, n_good=3, n_defect=2)
    return folder


@pytest.mark.slow
def test_the_tours_run_in_the_order_written(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    ran = 0
    for script, *words in COMMANDS:
        if "<" in " ".join(words) or script.startswith(("benchmark", "download_models", "start_app", "verify_setup")):
            continue  # these want real photos, a network, judge the machine, or never end
        if {"train-rf-detr", "infer-rf-detr", "infer-both"} & set(words):
            continue  # these want packages of their own, see test_rf_detr.py
        # A saved model keeps its settings: only commands that train take others.
        trains = script == "train.py" or "--cross-validate" in words
        extra = list(SMALL) if trains else []
        if script == "anode_inspection.py":
            extra = ["--set", "backbone=filters", "--set", "resize_size=[64, 64]"]
        if "--cross-validate" in words:
            extra += ["--set", "calibration.alpha=0.2"]
        if "autoencoder" in words:
            extra += ["--set", "autoencoder.epochs=2", "--set", "autoencoder.side=32"]
        done = run_inside(script, *words, *extra)
        assert done.returncode == 0, f"{script} {' '.join(words)}: {done.stderr}"
        ran += 1
    assert ran >= 7
    assert (home / "outputs/inference/results.json").is_file()
    assert (home / "results/results.json").is_file()
