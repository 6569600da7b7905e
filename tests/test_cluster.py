"""A cluster of two nodes: every image once and with the scores of one machine, whoever is killed meanwhile."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="ray[data] is not installed (requirements-cluster.txt)")

import pyarrow.parquet as pq
from cluster_factory import TwoNodes, finished, wait_for
from data_factory import parts, write_photos

from inspection.inspector import Inspector
from inspection.result import Inspection

N_IMAGES = 160


@pytest.fixture(scope="module")
def nodes() -> Iterator[TwoNodes]:
    both = TwoNodes()
    yield both
    both.stop()


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


def check(output: Path, expected: dict[str, float | None]) -> None:
    """Every image is once in the shards and once in results.json, with the expected score or with a reason."""
    in_shards = [row for path in (output / "shards").glob("*.parquet") for row in pq.read_table(path).to_pylist()]
    entries = json.loads((output / "results.json").read_text(encoding="utf-8"))
    for rows in (in_shards, entries):
        assert sorted(Path(row["path"]).name for row in rows) == sorted(expected)
        for row in rows:
            wanted = expected[Path(row["path"]).name]
            if wanted is None:
                assert row["error"]
                assert row.get("score") is None
            else:
                assert row["score"] == pytest.approx(wanted, abs=1e-4)


def flags(model: Path, source: Path | str, output: Path) -> tuple[Any, ...]:
    where = ("--dir", source)
    return (*where, "--model", model, "--output", output, "--json", "--csv", "--device", "cpu", "--shard-size", 4)


def shards_of(output: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (output / "shards").glob("*.parquet")}


def test_a_killed_worker_loses_no_image(
    nodes: TwoNodes, model_file: Path, photos: Path, expected: dict[str, float | None], tmp_path: Path
) -> None:
    running = nodes.launch("inference.py", *flags(model_file, photos, tmp_path))
    wait_for(lambda: shards_of(tmp_path), 90, "the first shard")
    workers = nodes.processes("_Scorer")
    assert workers
    os.kill(workers[0], signal.SIGKILL)
    assert len(shards_of(tmp_path)) < N_IMAGES // 4
    done = finished(running)
    assert done.returncode == 1, done.stderr  # one photo could not be read
    assert [line for line in done.stderr.splitlines() if line] == [
        f"warning: {photos / 'broken.jpg'}: not an image that can be read; convert it to PNG, JPEG or TIFF"
    ]
    assert "images/s" in done.stdout
    check(tmp_path, expected)
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        assert [Path(row["path"]).name for row in csv.DictReader(file)] == sorted(expected)
    assert not list(tmp_path.glob("*.png"))


def test_a_killed_driver_is_started_again(
    nodes: TwoNodes, model_file: Path, photos: Path, expected: dict[str, float | None], tmp_path: Path
) -> None:
    running = nodes.launch("inference.py", *flags(model_file, photos, tmp_path))
    wait_for(lambda: len(shards_of(tmp_path)) > 3, 90, "the first shards")
    running.kill()
    finished(running)
    written = shards_of(tmp_path)
    assert 0 < len(written) < N_IMAGES // 4
    assert not (tmp_path / "results.json").exists()
    done = nodes.run("inference.py", *flags(model_file, photos, tmp_path))
    assert done.returncode == 1, done.stderr
    assert f"of {N_IMAGES + 1} images are written already" in done.stdout
    assert {name: shards_of(tmp_path)[name] for name in written} == written
    check(tmp_path, expected)
