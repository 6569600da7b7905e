"""RF-DETR on rendered slices: COCO export, a training that learns, checkpoints that come back equal and are safe."""

from __future__ import annotations

import json
import pickle
import shutil
from argparse import Namespace
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from data_factory import ROOT
from PIL import Image

from fastener.anode.checkpoints import CHECKPOINTS
from fastener.anode.coco import SPLITS, export_coco, split_batteries
from fastener.anode.detector import RfDetr, check_checkpoint, checkpoint_file, training_losses
from fastener.anode.hits import Box
from fastener.anode.settings import AnodeSettings
from fastener.common.errors import UserError
from fastener.common.settings import load_settings
from fastener.datasets.ct_folders import list_volumes
from fastener.datasets.ct_labels import read_labels
from fastener.datasets.images import opened, read_image
from fastener.datasets.synthetic.ct import SIZE, write_ct_dataset

PRESET = ROOT / "configs" / "anode.yaml"
needs_rfdetr = pytest.mark.skipif(
    find_spec("rfdetr") is None or find_spec("pytorch_lightning") is None,
    reason="rfdetr[train] is not installed (requirements/detection.txt)",
)
TINY = ("rf_detr.resolution=64", "rf_detr.num_queries=50", "rf_detr.epochs=6", "rf_detr.learning_rate=0.0003")


def settings_in(folder: Path, *assignments: str) -> AnodeSettings:
    here = [f"labelled_dir={folder / 'labelled'}", f"output_dir_model_rf_detr={folder / 'model'}"]
    return load_settings(AnodeSettings, PRESET, [*here, *TINY, "run.device=cpu", *assignments])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five batteries of eight slices, exported: three of them, 24 slices, to learn from."""
    folder = tmp_path_factory.mktemp("rf_detr")
    write_ct_dataset(folder / "labelled", good=1, cracked=4, slices=8, seed=3)
    volumes = list_volumes(folder / "labelled").volumes
    labels = read_labels(folder / "labelled" / "labels.csv", volumes)
    splits = export_coco(volumes, labels, settings_in(folder), folder / "coco")
    assert [len(split.batteries) for split in splits] == [3, 1, 1]
    return folder


# The export


def test_labels_beside_every_region_are_an_error(home: Path, tmp_path: Path) -> None:
    volumes = list_volumes(home / "labelled").volumes
    corner = {(volume.battery, volume.axis, 0): [(0.0, 0.0, 3.0, 3.0)] for volume in volumes}
    with pytest.raises(UserError, match="5 labelled batteries, 0 of them with boxes in a region of roi_config"):
        export_coco(volumes, corner, settings_in(home), tmp_path / "coco")
    assert not list(tmp_path.iterdir()), "nothing was written before"


def test_boxes_that_no_slice_shows_are_an_error(home: Path, tmp_path: Path) -> None:
    """Every slice with a box is damaged: there is nothing to learn from."""
    labelled = shutil.copytree(home / "labelled", tmp_path / "labelled")
    volumes = list_volumes(labelled).volumes
    labels = read_labels(labelled / "labels.csv", volumes)
    for volume in volumes:
        for one in volume.slices:
            if (volume.battery, volume.axis, one.number) in labels:
                one.path.write_bytes(b"II*\0 no")
    said: list[str] = []
    with pytest.raises(UserError, match=r"no slice with a labelled box of .* can be read"):
        export_coco(volumes, labels, settings_in(home), tmp_path / "coco", warn=said.append)
    assert said


def test_a_stack_is_opened_once_for_its_window_and_its_pictures(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = {}
    rng = np.random.default_rng(0)
    for battery in "abc":
        (tmp_path / battery / "axial").mkdir(parents=True)
        first, *more = (Image.fromarray(rng.integers(0, 60_000, SIZE).astype(np.uint16)) for _ in range(5))
        first.save(tmp_path / battery / "axial" / "scan_0000.tif", save_all=True, append_images=more)
        labels[battery, "axial", 2] = [(30.0, 70.0, 60.0, 90.0)]
    volumes = list_volumes(tmp_path).volumes
    openings: list[Path] = []

    def counting(path: Path) -> AbstractContextManager[Image.Image]:
        openings.append(path)
        return opened(path)

    monkeypatch.setattr("fastener.datasets.ct_slices.opened", counting)
    splits = export_coco(volumes, labels, settings_in(home), tmp_path / "coco")
    assert sum(split.images for split in splits) == 3 * 5 * 2
    assert len(openings) == 3


def test_boxes_of_the_export_are_those_of_the_slices(home: Path) -> None:
    """Every box is found again in the picture: the crack is darker than what surrounds the box."""
    labels = read_labels(home / "labelled" / "labels.csv", list_volumes(home / "labelled").volumes)
    boxes = 0
    for split in SPLITS:
        content = json.loads((home / "coco" / split / "_annotations.coco.json").read_text(encoding="utf-8"))
        assert [category["name"] for category in content["categories"]] == ["crack"]
        names = {image["id"]: image["file_name"] for image in content["images"]}
        for image in content["images"]:
            picture = read_image(home / "coco" / split / image["file_name"])
            assert picture.shape == (image["height"], image["width"], 3) == (128, 128, 3)
        for annotation in content["annotations"]:
            x, y, width, height = annotation["bbox"]
            assert min(x, y) >= 0
            assert max(x + width, y + height) <= 128
            name = names[annotation["image_id"]].removesuffix(".png").split("_", 1)[1]
            battery, axis, _, number, region = name.rsplit("_", 4)
            left = {"left": 24, "right": 232}[region]
            assert (left + x, 64 + y, left + x + width, 64 + y + height) in labels[battery, axis, int(number)]
            boxes += 1
    assert boxes == sum(map(len, labels.values()))


def test_no_battery_is_in_two_splits(home: Path) -> None:
    seen = [
        {path.name.split("_", 1)[1].split("_axial")[0] for path in (home / "coco" / split).glob("*.png")}
        for split in SPLITS
    ]
    assert all(seen)
    assert sum(map(len, seen)) == len(set().union(*seen)) == 5


@pytest.mark.parametrize("count", [3, 4, 5, 8, 20])
def test_splits_share_out_cracked_batteries(count: int) -> None:
    names = [f"b{i}" for i in range(count)]
    for cracked in ({"b0", "b1"}, set(names[: count // 2 + 1]), set(names)):
        for seed in range(5):
            parts = split_batteries(names * 2, cracked, seed)
            assert sorted(name for part in parts.values() for name in part) == sorted(names)
            assert all(parts[split] for split in SPLITS)
            assert cracked & set(parts["train"])
            assert cracked & set(parts["valid"])
            assert len(parts["train"]) >= len(parts["test"])
            assert parts == split_batteries(names, cracked, seed)


def test_too_few_batteries_are_an_error() -> None:
    with pytest.raises(UserError, match="2 labelled batteries, 2 of them with boxes"):
        split_batteries(["a", "b"], {"a", "b"}, 0)
    with pytest.raises(UserError, match="5 labelled batteries, 1 of them with boxes"):
        split_batteries(["a", "b", "c", "d", "e"], {"a"}, 0)


# Checkpoints


class Hostile:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return eval, ("print('code was run')",)


def test_a_checkpoint_that_is_none_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "rf.pth"
    with pytest.raises(UserError, match=r"rf_detr_checkpoint: no checkpoint at .*train-rf-detr"):
        check_checkpoint(path, "rf_detr_checkpoint")
    for content in (b"", b"nonsense", pickle.dumps({"model": Hostile()})):
        path.write_bytes(content)
        with pytest.raises(UserError, match="damaged, or holds more than tensors"):
            check_checkpoint(path, "rf_detr_checkpoint")
    torch.save({"model": Hostile()}, path)
    with pytest.raises(UserError, match="it is not loaded"):
        check_checkpoint(path, "rf_detr_checkpoint")
    torch.save({"weights": torch.ones(2)}, path)
    with pytest.raises(UserError, match="not a checkpoint of RF-DETR"):
        check_checkpoint(path, "rf_detr_checkpoint")
    for args in ({"epochs": 3}, Namespace(epochs=3)):  # as new and as published checkpoints hold them
        torch.save({"model": {"a": torch.ones(2)}, "args": args}, path)
        check_checkpoint(path, "rf_detr_checkpoint")


def test_without_the_package_the_command_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("fastener.anode.detector.find_spec", lambda name: None)
    for make in (RfDetr.untrained, RfDetr.trained):
        with pytest.raises(UserError, match=r"rfdetr, which is not installed: .*requirements/detection\.txt"):
            make(settings_in(tmp_path))


@needs_rfdetr
def test_published_checkpoints_are_those_of_the_package() -> None:
    from rfdetr.assets.model_weights import ModelWeights

    for one in CHECKPOINTS.values():
        known = ModelWeights.from_filename(one.file_name)
        assert known is not None
        assert (known.url, known.md5_hash) == (one.url, one.md5)


# The network


class Stub:
    """Answers like rfdetr's networks, among them a class that is none and boxes outside the picture."""

    class_names = ("crack", "dent")

    def predict(self, images: list[np.ndarray], threshold: float) -> list[object]:
        class Found:
            xyxy = np.array([[-5, 2, 8, 9], [1, 1, 4, 4], [1, 1, 4, 4], [30, 3, 90, 9], [2, 2, 6, 6]], float)
            confidence = np.array([0.6, 0.9, 0.8, 0.7, 0.95])
            class_id = np.array([0, 1, 2, 0, -1])

        return [Found() for _ in images]


def test_boxes_go_by_class_names_and_stay_in_the_picture(tmp_path: Path) -> None:
    detector = RfDetr(Stub(), settings_in(tmp_path))
    (boxes,) = detector.predict([np.zeros((20, 40, 3), np.uint8)])
    assert boxes == [Box(30, 3, 40, 9, 0.7, "crack"), Box(0, 2, 8, 9, 0.6, "crack")]
    assert detector.predict([]) == []


def assert_alike(found: list[list[Box]], expected: list[list[Box]]) -> None:
    """The best five boxes of each image are the same, but for the rounding of sums in another order."""
    for one, other in zip(found, expected, strict=True):
        best = [[(b.x_min, b.y_min, b.x_max, b.y_max, 100 * b.score) for b in boxes[:5]] for boxes in (one, other)]
        np.testing.assert_allclose(best[0], best[1], atol=0.05)


@pytest.mark.slow
@needs_rfdetr
def test_training_learns_and_its_checkpoint_gives_the_same_boxes(home: Path) -> None:
    said: list[str] = []
    settings = settings_in(home, "rf_detr_threshold=0")
    detector = RfDetr.untrained(settings, said.append)
    assert "random weights" in said[0]
    losses = detector.fit(home / "coco")
    assert len(losses) == 6
    assert np.mean(losses[-2:]) < np.mean(losses[:2])
    assert losses == training_losses(settings.output_dir_model_rf_detr / "metrics.csv")
    images = [read_image(path) for path in sorted((home / "coco" / "test").glob("*.png"))[:4]]
    boxes = detector.predict(images)
    assert all(boxes)
    again = RfDetr.trained(settings)
    saved, loaded = (one.model.model.model.state_dict() for one in (detector, again))
    assert all(torch.equal(saved[key], loaded[key]) for key in saved | loaded)
    assert_alike(again.predict(images), boxes)
    assert all(0 <= b.x_min < b.x_max <= 128 and b.label == "crack" for found in boxes for b in found)
    named = settings_in(home, "rf_detr_threshold=0", f"rf_detr_checkpoint={checkpoint_file(settings)}")
    assert_alike(RfDetr.trained(named).predict(images[:1]), boxes[:1])
    with pytest.raises(UserError, match=r"class_label: .* does not know 'dent'; it knows crack"):
        RfDetr.trained(settings_in(home, "class_label=dent"))
    # Training may start from it, too.
    RfDetr.untrained(settings_in(home, f"rf_detr.start_from={checkpoint_file(settings)}"))
    with pytest.raises(UserError, match=r"rf_detr\.start_from: .* is of size nano, rf_detr\.size large"):
        RfDetr.untrained(settings_in(home, f"rf_detr.start_from={checkpoint_file(settings)}", "rf_detr.size=large"))
