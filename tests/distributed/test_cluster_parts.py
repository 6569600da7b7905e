"""What a cluster run is made of, without a cluster: names of images, shards of results, cover radii."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="ray[data] is not installed (requirements/cluster.txt)")

import fsspec
import numpy as np
import pyarrow.parquet as pq
import torch
from data_factory import part, save, tiny_config
from drawn_parts import BOLT, HEXAGON, draw

import fastener
from fastener.common.errors import UserError
from fastener.config import load_config
from fastener.datasets.images import read_image
from fastener.distributed import ray_engine, shards
from fastener.distributed.images import check_storage, images_in, listed_in, load_named, read_named, relative_names
from fastener.distributed.registered import Registered
from fastener.distributed.training import Cover, train
from fastener.distributed.training_tasks import Lesson, collect_features
from fastener.inspection.evidence_base import Setup
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Failure
from fastener.inspection.tables import record
from fastener.inspection.training import build_evidence, collect
from fastener.preprocessing.pipeline import Preprocessor

pytestmark = pytest.mark.cluster

# The code that travels


def test_a_clone_travels_whole_and_a_package_as_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = Path(fastener.__file__).parent
    assert ray_engine.own_code()["working_dir"] == str(package.parent)
    installed = tmp_path / "site-packages" / "fastener"
    (installed / "models").mkdir(parents=True)
    monkeypatch.setattr(fastener, "__file__", str(installed / "__init__.py"))
    assert ray_engine.own_code() == {"py_modules": [str(installed)]}


# Names of images


def test_a_bucket_is_listed_and_read_like_a_folder(tmp_path: Path) -> None:
    names = ["b.png", "a.jpg", "below/c.tif", ".hidden.png", "notes.txt"]
    for name in names:
        save(part(3), tmp_path / name if name != "notes.txt" else tmp_path / "x.png").rename(tmp_path / name)
    fsspec.filesystem("memory").put(str(tmp_path) + "/", "/bucket/photos", recursive=True)
    flat = images_in("memory://bucket/photos", False)
    assert [url.rsplit("photos/")[1] for url in flat] == ["a.jpg", "b.png"]
    every = images_in("memory://bucket/photos", True)
    assert [url.rsplit("photos/")[1] for url in every] == ["a.jpg", "b.png", "below/c.tif"]
    assert (read_named(every[0]) == read_image(tmp_path / "a.jpg")).all()
    with pytest.raises(UserError, match="holds no image"):
        images_in("memory://bucket/nothing", True)


def test_what_shards_hand_over_teaches_as_on_one_machine(tmp_path: Path) -> None:
    """Shape and count are learned by the driver, from what the workers have seen."""
    config = tiny_config(preprocess={"size": 128}, evidence=("shape", "count"))
    photos = [draw((BOLT, HEXAGON)[i % 2] * (1 + 0.01 * i / 12), degrees=float(i)) for i in range(12)]
    paths = [save(photo, tmp_path / f"{i:02d}.png") for i, photo in enumerate(photos)]
    setup = Setup(config, torch.device("cpu"), "filters")
    alone, joined = (build_evidence(setup, ("shape", "count")) for _ in range(2))
    lesson = Lesson(config, "filters", Registered.of(alone, "filters"), None, 1)
    collect(paths, alone, config, preprocessor=Preprocessor(config.preprocess))
    for shard in (paths[:5], paths[5:]):
        for kind, collected in collect_features._function(lesson, {}, shard).collected.items():
            joined[kind].take_in(collected)
    for kind in alone:
        scores, others = (one[kind].fit_collected(range(12)) for one in (alone, joined))
        assert scores.images.tolist() == others.images.tolist()
        assert state_of_arrays(alone[kind].state()) == state_of_arrays(joined[kind].state())


def state_of_arrays(state: dict[str, Any]) -> str:
    with np.printoptions(threshold=10**9, precision=12):
        return repr(state)


def test_an_image_that_cannot_be_had_is_a_failure_with_its_url(inspector: Inspector) -> None:
    fsspec.filesystem("memory").pipe("/bucket/bad.png", b"no picture")
    for url, reason in (("memory://bucket/gone.png", "no such file"), ("memory://bucket/bad.png", "not an image")):
        loaded = load_named(url, inspector.preprocessor)
        assert loaded.tiles == ()
        assert loaded.error.startswith(f"{url}: {reason}")


def test_an_unknown_kind_of_storage_is_one_line() -> None:
    with pytest.raises(UserError, match=r"^nowhere://bucket: cannot be read \(.*nowhere"):
        images_in("nowhere://bucket", True)
    with pytest.raises(UserError, match=r"^nowhere://bucket/a.png: cannot be read \(.*nowhere"):
        check_storage(["/a.png", "memory://a.png", "nowhere://bucket/a.png"])


def test_a_manifest_names_each_image_once(tmp_path: Path) -> None:
    manifest = tmp_path / "list.txt"
    manifest.write_text("b.png\n\n/elsewhere/a.png\r\n  s3://bucket/ü x.png \nb.png\n", encoding="utf-8")
    assert listed_in(manifest) == [str(tmp_path / "b.png"), "/elsewhere/a.png", "s3://bucket/ü x.png"]
    manifest.write_text("\n", encoding="utf-8")
    with pytest.raises(UserError, match="names no image"):
        listed_in(manifest)
    manifest.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="UTF-8"):
        listed_in(manifest)
    with pytest.raises(UserError, match="No such file"):
        listed_in(tmp_path / "none.txt")


def test_pictures_stay_below_the_output_folder() -> None:
    assert relative_names(["/data/a/x.png", "/data/b/x.png"]) == {
        "/data/a/x.png": Path("a/x.png"),
        "/data/b/x.png": Path("b/x.png"),
    }
    assert relative_names(["/data/a/x.png"], "/data") == {"/data/a/x.png": Path("a/x.png")}
    mixed = relative_names(["s3://bucket/../../etc/x.png", "http://host/x.png", "/x.png"])
    assert sorted(map(str, mixed.values())) == ["etc/x.png", "http/host/x.png", "x.png"]


# Shards


def test_a_shard_gives_back_the_records(inspector: Inspector, good_photos: list[Path], tmp_path: Path) -> None:
    names = [str(path) for path in good_photos[:2]] + ["/gone.png"]
    results = [*inspector.inspect(good_photos[:2]), Failure(Path("/gone.png"), "/gone.png: no such file")]
    records = [record(result) for result in results]
    (shard,) = shards.plan(names, 10, tmp_path, "run")
    assert not shard.done
    shards.write(shard, records, tuple(inspector.evidence))
    assert shard.done
    assert list(shards.read(shard)) == records
    assert json.dumps(records[0])  # plain values only
    assert pq.read_schema(shard.path).field("score").type == "double"


def test_names_that_are_no_unicode_are_kept_apart(tmp_path: Path) -> None:
    names = ["/a\udcff.png", "/b.png"]
    (shard,) = shards.plan(names, 2, tmp_path, "run")
    shards.write(shard, [{"path": name, "error": f"{name}: no"} for name in names], ("cnn",))
    assert [entry["path"] for entry in shards.read(shard)] == ["/a\\udcff.png", "/b.png"]


def test_the_plan_is_the_same_again_and_covers_every_image_once(tmp_path: Path) -> None:
    names = [f"/{number}.png" for number in range(25)]
    plan = shards.plan(names, 4, tmp_path, "run")
    assert [len(shard.images) for shard in plan] == [4] * 6 + [1]
    assert [name for shard in plan for name in shard.images] == names
    assert shards.plan(names, 4, tmp_path, "run") == plan


@pytest.mark.parametrize(
    ("images", "size", "run"),
    [(["/a.png", "/c.png"], 2, "run"), (["/a.png", "/b.png"], 1, "run"), (["/a.png", "/b.png"], 2, "another")],
)
def test_results_of_another_run_are_not_taken_over(images: list[str], size: int, run: str, tmp_path: Path) -> None:
    (shard,) = shards.plan(["/a.png", "/b.png"], 2, tmp_path, "run")
    shards.write(shard, [{"path": name, "error": "no"} for name in shard.images], ("cnn",))
    with pytest.raises(UserError, match="holds results of other images"):
        shards.plan(images, size, tmp_path, run)


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    (shard,) = shards.plan(["/a.png"], 1, tmp_path, "run")
    shard.path.parent.mkdir(exist_ok=True)
    shard.path.write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match="damaged; remove it"):
        list(shards.read(shard))


# Addresses


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "127.0.0.1", "head:node", "local"])
def test_an_address_is_host_and_port(address: str) -> None:
    with pytest.raises(UserError, match="give HOST:PORT"), ray_engine.joined(address, 1):
        pass


def test_no_cluster_at_the_address_is_one_line() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # bound, and nobody listens
        address = f"127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(UserError, match="no Ray cluster could be joined there") as caught:
            ray_engine.joined(address, 1).__enter__()
    assert "\n" not in str(caught.value)


# What is not learned in shards


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"evidence": ["filters"], "model.per_position": True},
            "model.per_position compares each photo with those of all shards",
        ),
        ({"evidence": ["autoencoder"]}, "evidence autoencoder is not learned in shards"),
    ],
)
def test_what_looks_at_all_shards_is_refused(changes: dict[str, object], line: str) -> None:
    with pytest.raises(UserError, match=line):
        train([Path("a.png")], load_config(None, flags=changes), ray_engine.Workers(2, 1, 0, 2))


# Cover radii


def test_the_ratio_is_measured_or_bounded() -> None:
    measured = Cover("cnn", 4, 10, 100, radius=3.0, single=2.0, least=1.0)
    assert "1.500 times that of one machine (2)" in measured.describe()
    assert "at most 3.00 times" in Cover("cnn", 4, 10, 100, radius=3.0, single=None, least=1.0).describe()
    assert "at most 4.00 times" in Cover("cnn", 4, 10, 100, radius=9.0, single=None, least=1.0).describe()
