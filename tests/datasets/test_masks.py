"""Masks under the names that people give them, each for its own photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_factory import part, save
from hypothesis import given, settings
from hypothesis import strategies as st

from fastener.datasets.dataset import GOOD
from fastener.datasets.masks import read_mask
from fastener.datasets.mvtec import list_categories, load_category


def category(root: Path, *, good: str = "good", train: str = "train", test: str = "test") -> Path:
    save(part(0), root / "nut" / train / good / "000.png")
    save(part(1), root / "nut" / test / good / "000.png")
    save(part(2), root / "nut" / test / "scratch" / "000.PNG", format="PNG")
    return root / "nut"


def mask(at: int) -> np.ndarray:
    pixels = np.zeros(part(0).shape[:2], np.uint8)
    pixels[at, at] = 255
    return pixels


@pytest.mark.parametrize(
    "name",
    ["000_mask.PNG", "000_Mask.png", "000.png", "000_gt.tif", "000_label.bmp", "000/000.png", "000.PNG_mask.png"],
)
@pytest.mark.parametrize("folder", ["ground_truth/scratch", "Ground Truth/Scratch"])
def test_a_mask_is_found_as_people_name_it(tmp_path: Path, name: str, folder: str) -> None:
    root = category(tmp_path)
    save(mask(3), root / folder / name, format={".tif": "TIFF", ".bmp": "BMP"}.get(Path(name).suffix, "PNG"))
    (image,) = [one for one in load_category(tmp_path, "nut").test if one.is_anomalous]
    assert image.mask_path is not None
    np.testing.assert_array_equal(read_mask(image.mask_path, part(0).shape[:2]), mask(3) > 0)


@pytest.mark.parametrize("good", ["good", "Good", "OK", "normal", "0_good"])
@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Train", "Test")])
def test_good_is_spelt_in_many_ways(tmp_path: Path, good: str, train: str, test: str) -> None:
    category(tmp_path, good=good, train=train, test=test)
    assert list_categories(tmp_path) == ["nut"]
    found = load_category(tmp_path, "nut")
    assert len(found.train) == 1
    assert sorted((one.labels, one.is_anomalous) for one in found.test) == [((GOOD,), False), (("scratch",), True)]


def test_several_masks_of_one_photo_are_joined(tmp_path: Path) -> None:
    root = category(tmp_path)
    for at in (3, 5):
        save(mask(at), root / "ground_truth/scratch/000" / f"{at}.png")
    (image,) = [one for one in load_category(tmp_path, "nut").test if one.is_anomalous]
    assert image.mask_path is not None
    np.testing.assert_array_equal(read_mask(image.mask_path, part(0).shape[:2]), (mask(3) | mask(5)) > 0)


def test_a_mask_beside_its_photo_is_no_photo(tmp_path: Path) -> None:
    root = category(tmp_path)
    save(mask(3), root / "test/scratch/000_mask.png")
    (image,) = [one for one in load_category(tmp_path, "nut").test if one.is_anomalous]
    assert image.mask_path == root / "test/scratch/000_mask.png"


def test_folders_without_images_and_of_systems_are_no_defects(tmp_path: Path) -> None:
    root = category(tmp_path)
    (root / "test/empty/deeper").mkdir(parents=True)
    save(part(1), root / "test/.ipynb_checkpoints/000-checkpoint.png")
    assert load_category(tmp_path, "nut").defects == ("scratch",)


@given(st.dictionaries(st.sampled_from(["", "day1", "day2", "a/b"]), st.booleans(), min_size=1))
@settings(max_examples=12, deadline=None)
def test_each_photo_has_the_mask_of_its_own_path(
    tmp_path_factory: pytest.TempPathFactory, has_mask: dict[str, bool]
) -> None:
    root = tmp_path_factory.mktemp("masks")
    (category(root) / "test/scratch/000.PNG").unlink()
    for folder, there in has_mask.items():
        save(part(2), root / "nut/test/scratch" / folder / "7.png")
        if there:
            save(mask(3), root / "nut/ground_truth/scratch" / folder / "7_mask.png")
    for image in load_category(root, "nut").test:
        if image.is_anomalous:
            below = image.path.relative_to(root / "nut/test/scratch").parent
            expected = root / "nut/ground_truth/scratch" / below / "7_mask.png"
            alone = len(has_mask) == 1
            assert image.mask_path == (expected if has_mask["" if below == Path() else str(below)] else None) or alone
