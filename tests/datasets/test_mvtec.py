"""The MVTec layout: which files, which labels, which masks."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from mvtec_factory import write_category

from fastener.common.errors import UserError
from fastener.datasets.mvtec import list_categories, load_category, read_mask, readable


def test_a_category_is_read_whole(tmp_path: Path) -> None:
    write_category(tmp_path / "plate", n_train=5, n_good=2, n_defect=3)
    category = load_category(tmp_path, "plate")
    assert [path.name for path in category.train] == [f"{n:03}.png" for n in range(5)]
    assert category.defects == ("big_blot", "blot")
    assert [(image.labels[0], image.is_anomalous) for image in category.test] == (
        [("big_blot", True)] * 3 + [("blot", True)] * 3 + [("good", False)] * 2
    )
    for image in category.test:
        expected = tmp_path / "plate/ground_truth" / image.labels[0] / f"{image.path.stem}_mask.png"
        assert image.mask_path == (expected if image.is_anomalous else None)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff", ".PNG"])
def test_every_format_is_found(tmp_path: Path, suffix: str) -> None:
    write_category(tmp_path / "plate", n_train=2, n_good=1, n_defect=1, suffix=suffix)
    category = load_category(tmp_path, "plate")
    assert len(category.train) == 2
    assert all(image.mask_path is not None for image in category.test if image.is_anomalous)


def test_masks_and_test_folder_may_be_missing(tmp_path: Path) -> None:
    write_category(tmp_path / "plate", n_train=2, n_good=1, n_defect=2)
    (tmp_path / "plate/ground_truth/blot/001_mask.png").unlink()
    masks = [image.mask_path for image in load_category(tmp_path, "plate").test if image.labels == ("blot",)]
    assert [mask is None for mask in masks] == [False, True]
    shutil.rmtree(tmp_path / "plate/test")
    assert load_category(tmp_path, "plate").test == ()


def test_masks_named_like_their_photo_are_found(tmp_path: Path) -> None:
    write_category(tmp_path / "plate", n_train=2, n_good=1, n_defect=1)
    mask = tmp_path / "plate/ground_truth/blot/000_mask.png"
    mask.rename(mask.with_name("000.png"))
    (image,) = (image for image in load_category(tmp_path, "plate").test if image.labels == ("blot",))
    assert image.mask_path == mask.with_name("000.png")


def test_only_folders_with_good_training_images_are_categories(tmp_path: Path) -> None:
    for name in ("screw", "bolt"):
        write_category(tmp_path / name, n_train=2, n_good=1, n_defect=1)
    (tmp_path / "notes/test").mkdir(parents=True)
    (tmp_path / "readme.txt").write_text("about")
    assert list_categories(tmp_path) == ["bolt", "screw"]


def test_a_wrong_name_lists_what_is_there(tmp_path: Path) -> None:
    for name in ("screw", "metal_nut"):
        write_category(tmp_path / name, n_train=2, n_good=1, n_defect=1)
    with pytest.raises(UserError, match=r"--category screws: .*did you mean screw\?.*metal_nut, screw"):
        load_category(tmp_path, "screws")
    with pytest.raises(UserError, match="no such folder"):
        list_categories(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no category there"):
        list_categories(tmp_path / "screw" / "train")


def test_a_mask_of_another_size_is_named(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "mask.png"), np.full((30, 40), 255, np.uint8))
    assert read_mask(tmp_path / "mask.png", (30, 40)).all()
    with pytest.raises(UserError, match=r"mask\.png: the mask is 40 x 30, its photo 50 x 30 pixels"):
        read_mask(tmp_path / "mask.png", (30, 50))


def test_a_mask_of_ones_or_of_class_numbers_is_not_empty(tmp_path: Path) -> None:
    for values in ([0, 1], [0, 3], [0, 255], [100, 255]):
        cv2.imwrite(str(tmp_path / "mask.png"), np.repeat(np.array([values], np.uint8), 20, 0).repeat(20, 1))
        assert read_mask(tmp_path / "mask.png", (20, 40)).mean(0).tolist() == [0] * 20 + [1] * 20


def test_names_for_a_person() -> None:
    assert [readable(name) for name in ("metal_nut", "thread_side", "good")] == ["Metal nut", "Thread side", "Good"]


@pytest.mark.real_data
def test_the_real_screws() -> None:
    root = os.environ.get("FASTENER_DATA_DIR")
    if root is None:
        pytest.skip("FASTENER_DATA_DIR is not set")
    category = load_category(Path(root) / "mvtec", "screw")
    anomalous = [image for image in category.test if image.is_anomalous]
    assert (len(category.train), len(category.test), len(anomalous)) == (320, 160, 119)
    assert all(image.mask_path is not None for image in anomalous)
