"""A cluster of two nodes: every image once and with the scores of one machine, whoever is killed meanwhile."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import chdir
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("ray", reason="ray[data] is not installed (requirements/cluster.txt)")

import pyarrow.parquet as pq
from cluster_factory import TwoNodes, finished, wait_for
from data_factory import FLAGS, parts, tiny_config, write_photos
from mvtec_factory import blot, plate, write_category
from random_networks import random_state

from fastener.common.files import CONFIGS
from fastener.config import load_config
from fastener.datasets.images import read_image
from fastener.datasets.mvtec import load_category
from fastener.distributed import ray_engine
from fastener.distributed.side_by_side import side_by_side
from fastener.evaluation.experiments.settings import load_experiment
from fastener.inspection.evidence import StructureEvidence
from fastener.inspection.inspector import Inspector
from fastener.inspection.model_folder import MODEL_FILE
from fastener.inspection.result import Inspection

pytestmark = pytest.mark.cluster

N_IMAGES = 160


@pytest.fixture(scope="module")
def nodes() -> Iterator[TwoNodes]:
    both = TwoNodes()
    yield both
    both.stop()


@pytest.fixture(autouse=True)
def _no_driver_is_left(nodes: TwoNodes) -> Iterator[None]:
    yield
    nodes.end_drivers()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty photos under 160 names, and one that is none."""
    folder = tmp_path_factory.mktemp("cluster") / "in coming"
    originals = write_photos(folder, [*parts(14, 50), *parts(6, 100, "rust")], "p{:03d}.png")
    for number in range(len(originals), N_IMAGES):
        (folder / f"p{number:03d}.png").write_bytes(originals[number % len(originals)].read_bytes())
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no")
    return folder


@pytest.fixture(scope="module")
def expected(inspector: Inspector, photos: Path) -> dict[str, float | None]:
    """Score by name, as this process computes it; None where the photo cannot be read."""
    paths = sorted(photos.iterdir())
    return {
        path.name: result.score if isinstance(result, Inspection) else None
        for path, result in zip(paths, inspector.inspect(paths), strict=True)
    }


@pytest.fixture(scope="module")
def server(photos: Path) -> Iterator[str]:
    """The photos behind http://."""
    handler = partial(_Silent, directory=str(photos))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Nobody reads it."""


def check(output: Path, expected: dict[str, float | None]) -> list[dict[str, Any]]:
    """Every image is once in the shards and once in results.json, with its score or a reason; the entries."""
    in_shards = [row for path in (output / "shards").glob("*.parquet") for row in pq.read_table(path).to_pylist()]
    entries: list[dict[str, Any]] = json.loads((output / "results.json").read_text(encoding="utf-8"))
    for rows in (in_shards, entries):
        assert sorted(Path(row["path"]).name for row in rows) == sorted(expected)
        for row in rows:
            wanted = expected[Path(row["path"]).name]
            if wanted is None:
                assert row["error"]
                assert row.get("score") is None
            else:
                assert row["score"] == pytest.approx(wanted, abs=1e-4)
    return entries


def shards_of(output: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (output / "shards").glob("*.parquet")}


def test_a_killed_worker_loses_no_image(
    nodes: TwoNodes, model_file: Path, server: str, expected: dict[str, float | None], tmp_path: Path
) -> None:
    """The images come from a manifest of URLs; one is no image, one is not there."""
    manifest = tmp_path / "list.txt"
    urls = [f"{server}/{name}" for name in [*sorted(expected), "gone.png"]]
    manifest.write_text("\n".join(urls), encoding="utf-8")
    running = nodes.launch(
        *("inference.py", "--manifest", manifest, "--model", model_file, "--output", tmp_path / "out"),
        *("--json", "--csv", "--device", "cpu", "--shard-size", 4),
    )
    wait_for(lambda: shards_of(tmp_path / "out"), "the first shard")
    scoring = wait_for(lambda: nodes.workers("(_Scorer)).submit"), "a worker that scores")
    # While it is stopped, it is given shards and finishes none: one that starts up or is idle would lose nothing.
    os.kill(scoring[0], signal.SIGSTOP)
    written = len(shards_of(tmp_path / "out"))
    wait_for(lambda: len(shards_of(tmp_path / "out")) >= written + 8, "eight more shards")
    assert len(shards_of(tmp_path / "out")) < N_IMAGES // 4
    os.kill(scoring[0], signal.SIGKILL)
    done = finished(running)
    assert done.returncode == 1, done.stderr  # two photos could not be read
    told = [line for line in done.stderr.splitlines() if line]
    died = rf"warning: a worker died; \d+ images from {server}/\S+ on were inspected again, and none is lost"
    assert re.fullmatch(died, told[0])
    assert told[1:] == [
        f"warning: {server}/broken.jpg: not an image that can be read; convert it to PNG, JPEG or TIFF",
        f"warning: {server}/gone.png: no such file; check the name",
    ]
    assert "images/s" in done.stdout
    assert "2 could not be read" in done.stdout
    entries = check(tmp_path / "out", {**expected, "gone.png": None})
    assert [entry["path"] for entry in entries] == urls
    with (tmp_path / "out/results.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == urls
    assert not list((tmp_path / "out").glob("*.png"))


def test_a_piece_whose_worker_dies_is_done_again(tmp_path: Path) -> None:
    mark = tmp_path / "died"

    def dies_once(_: Path | None) -> str:
        if mark.exists():
            return "done"
        mark.touch()
        os._exit(1)

    told: list[str] = []
    with ray_engine.joined("auto", 1) as workers:
        answers = dict(side_by_side({"weak": dies_once, "well": lambda _: "done"}, None, workers, told.append))
    assert answers == {"weak": "done", "well": "done"}
    assert told == ["weak: its worker died; it is done again, and nothing is lost"]


def test_a_killed_driver_is_started_again(
    nodes: TwoNodes, model_file: Path, photos: Path, expected: dict[str, float | None], tmp_path: Path
) -> None:
    words = ("--dir", photos, "--model", model_file, "--output", tmp_path, "--json", "--device", "cpu")
    running = nodes.launch("inference.py", *words, "--shard-size", 4)
    wait_for(lambda: len(shards_of(tmp_path)) > 3, "the first shards")
    running.kill()
    finished(running)
    written = shards_of(tmp_path)
    assert 0 < len(written) < N_IMAGES // 4
    assert not (tmp_path / "results.json").exists()
    done = nodes.run("inference.py", *words, "--shard-size", 4)
    assert done.returncode == 1, done.stderr
    assert f"of {N_IMAGES + 1} images are written already" in done.stdout
    assert {name: shards_of(tmp_path)[name] for name in written} == written
    check(tmp_path, expected)


def test_an_exported_folder_needs_no_weights_on_the_workers(
    nodes: TwoNodes, good_photos: list[Path], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    torch.save(random_state("resnet18"), tmp_path / "resnet18.pth")
    model = {"backbone": "resnet18", "layers": ("layer1",), "coreset_ratio": 0.05, "target_dim": 32}
    config = tiny_config(model=model, evidence=("cnn",), run={"runtime": "onnx"})
    trained = Inspector.fit(good_photos, config, weights=tmp_path / "resnet18.pth")
    trained.save(tmp_path / "exported" / MODEL_FILE)
    (tmp_path / "resnet18.pth").unlink()
    monkeypatch.delenv("FASTENER_WEIGHTS_DIR", raising=False)
    some = sorted(photos.glob("*.png"))[:5]
    (tmp_path / "list.txt").write_text("\n".join(map(str, some)), encoding="utf-8")
    words = ("--manifest", tmp_path / "list.txt", "--model", tmp_path / "exported", "--output", tmp_path / "out")
    done = nodes.run("inference.py", *words, "--json", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    entries = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    expected = [result.score for result in trained.inspect(some) if isinstance(result, Inspection)]
    assert [entry["score"] for entry in entries] == pytest.approx(expected, abs=1e-4)


def test_a_coreset_of_shards_covers_the_patches_as_promised(
    nodes: TwoNodes, good_photos: list[Path], inspector: Inspector, tmp_path: Path
) -> None:
    """Against the patches themselves, computed here, and against the model of one machine."""
    output = tmp_path / "model.pkl"
    done = nodes.run("train.py", "--images", good_photos[0].parent, *FLAGS, "--alpha", 0.1, "--output", output)
    assert done.returncode == 0, done.stderr
    assert "12 photos on 4 workers of 1 core" in done.stdout
    assert "from 4 shards" in done.stdout
    sharded = Inspector.load(output, "cpu")
    ours, theirs = (one.evidence["filters"] for one in (sharded, inspector))
    assert isinstance(ours, StructureEvidence)
    assert isinstance(theirs, StructureEvidence)
    torch.testing.assert_close(ours.extractor.mean_, theirs.extractor.mean_, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.extractor.std_, theirs.extractor.std_, rtol=1e-4, atol=1e-5)
    assert len(ours.patchcore.bank_) == len(theirs.patchcore.bank_)
    prepared = [sharded.preprocessor(read_image(path)).image for path in good_photos]
    patches = ours.extractor(np.stack(prepared)).flatten(0, 2)
    radius = float(torch.cdist(patches, ours.patchcore.bank_.features).amin(1).max())
    assert ours.patchcore.cover_radius_ == pytest.approx(radius, rel=5e-3)  # features were kept in half precision
    assert radius <= 4 * theirs.patchcore.cover_radius_
    ratio = ours.patchcore.cover_radius_ / theirs.patchcore.cover_radius_
    assert f"{ratio:.3f} times that of one machine" in done.stdout
    # Every row is a patch of the photo that it is said to come from.
    by_photo = patches.reshape(len(prepared), -1, patches.shape[1])
    for row, owner in zip(ours.patchcore.bank_.features, ours.patchcore.bank_groups_, strict=True):
        assert float((by_photo[owner] - row).norm(dim=1).min()) < 0.05 * float(row.norm())
    # Scores of photos as unseen: by the whole bank without the photo's own rows, whose place patches of its shard take.
    # Shards of three photos have few such patches, so single scores differ from one machine's; their level does not.
    healthy = sharded.decision.healthy["filters"]
    assert len(healthy) == len(good_photos)
    features, size = ours.extractor(np.stack(prepared)).half(), prepared[0].shape[:2]
    shards = np.array_split(np.arange(12), 4)
    expected = [ours.patchcore.calibrate(features[s], s.tolist(), size).images for s in shards]
    np.testing.assert_allclose(healthy, np.concatenate(expected), rtol=0.02)  # features were kept in half precision
    assert np.median(healthy) == pytest.approx(np.median(inspector.decision.healthy["filters"]), rel=0.25)
    assert not np.array_equal(healthy, inspector.decision.healthy["filters"])


def test_categories_are_trained_side_by_side(nodes: TwoNodes, tmp_path: Path) -> None:
    """The models are those of one machine; a category that cannot be learned stops no other."""
    for name in ("bolt", "plate", "rod"):
        write_category(tmp_path / "data" / name, 5, 1, 1)
    (tmp_path / "data/plate/train/good/000.png").write_bytes(b"no")
    words = ("--mvtec-dir", tmp_path / "data", "--all", "--evidence", "filters", "--device", "cpu")
    small = ("--set", "preprocess.size=64", "--coreset-ratio", 0.05)
    done = nodes.run("train.py", *words, *small, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("warning: plate: ")
    assert "000.png: not an image" in done.stderr
    models = tmp_path / "saved_models/mvtec"
    assert sorted(path.name for path in models.iterdir()) == ["bolt.pkl", "rod.pkl"]
    settings = ["evidence=[filters]", "preprocess.size=64", "model.coreset_ratio=0.05", "run.device=cpu"]
    config = load_config(CONFIGS / "mvtec.yaml", settings)
    alone = Inspector.fit(load_category(tmp_path / "data", "rod").train, config)
    photos = [plate(300), blot(plate(301), (50, 40))[0]]
    for one, other in zip(
        Inspector.load(models / "rod.pkl", "cpu").inspect(photos), alone.inspect(photos), strict=True
    ):
        assert isinstance(one, Inspection)
        assert isinstance(other, Inspection)
        assert one.score == pytest.approx(other.score, abs=1e-4)
        assert one.threshold == pytest.approx(other.threshold, abs=1e-4)


def test_cells_of_an_experiment_are_measured_side_by_side(nodes: TwoNodes, tmp_path: Path) -> None:
    """The results are those of one machine, which takes them as its own; a cell that fails stops no other."""
    for name in ("plate", "sheet"):
        write_category(tmp_path / "data" / name, n_train=4, n_good=2, n_defect=2)
    (tmp_path / "data/sheet/train/good/000.png").write_bytes(b"no")
    settings = ["model.backbone=filters", "preprocess.size=64", "run.device=cpu"]
    experiment = {"data": ["data"], "methods": ["global", "padim"], "shots": [2, "all"], "settings": settings}
    file = tmp_path / "experiment.yaml"
    file.write_text(json.dumps(experiment))
    done = nodes.run("evaluate.py", "--experiment", file, "--output", "out", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "measuring on 4 workers" in done.stdout
    failed = [line for line in done.stderr.splitlines() if line.startswith("warning: sheet")]
    assert all("000.png: not an image" in line for line in failed), done.stderr
    assert len(failed) >= 2  # those of all photos, at least
    with chdir(tmp_path):
        alone = load_experiment(file).run("alone")
        taken = load_experiment(file).run("out", spread=None)
    assert [one["folder"].relative_to("alone") for one in alone.cells] == [
        one["folder"].relative_to("out") for one in taken.cells
    ]
    for one, other in zip(taken.cells, alone.cells, strict=True):
        assert one["cost"] != other["cost"]  # it was not measured here
        for name in ("image_auroc", "aupro", "threshold"):
            assert one.get(name) == pytest.approx(other.get(name), abs=1e-4)


def test_a_lost_node_loses_no_image(
    nodes: TwoNodes, model_file: Path, photos: Path, expected: dict[str, float | None], tmp_path: Path
) -> None:
    """The last test here, as it leaves one node. The folder is given as a URL, and pictures are asked for."""
    few = {path.name: path for path in sorted(photos.iterdir())[:25]}
    for name, path in few.items():
        (tmp_path / "in" / "below").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "in" / "below" / name)
    running = nodes.launch(
        *("inference.py", "--dir", f"file://{tmp_path}/in", "--recursive", "--model", model_file, "--json"),
        *("--output", tmp_path / "out", "--device", "cpu", "--shard-size", 2, "--visualize"),
    )
    wait_for(lambda: shards_of(tmp_path / "out"), "the first shard")
    nodes.kill_node()
    assert len(shards_of(tmp_path / "out")) < len(few) // 2
    done = finished(running)
    assert done.returncode == 1, done.stderr
    check(tmp_path / "out", {name: expected[name] for name in few})
    readable = [Path(name).stem for name in few if expected[name] is not None]
    wanted = sorted(f"{kind}_{name}.png" for name in readable for kind in ("det", "overlay"))
    assert sorted(path.name for path in (tmp_path / "out/below").iterdir()) == wanted
    assert read_image(tmp_path / "out/below" / wanted[-1]).shape == read_image(few[f"{readable[-1]}.png"]).shape
