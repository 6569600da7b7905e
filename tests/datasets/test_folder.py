"""Plain folders of good photos, and the baseline shots among photos."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fastener.common.errors import UserError
from fastener.datasets.folder import baseline_images, good_images, is_baseline


def add_images(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.full((8, 8, 3), 90, np.uint8))


@pytest.mark.parametrize(
    "name",
    [
        "Nut Black-T0.jpg", "Nut Black-T0-1.jpg", "nut black-t0-12.PNG", "nut_black_T0.jpg", "nut_t0_1.jpg", "T0.jpg",
        "Bolt M5x0.8 Grey-T0-1.jpg", "Nut-T24-T0.jpg", "Écrou-T0.png",
    ],
)  # fmt: skip
def test_baseline_names(name: str) -> None:
    assert is_baseline(Path("shots") / name, "T0")


@pytest.mark.parametrize(
    "name",
    [
        "bolt01.jpg", "boltt0.jpg", "bolt-t01.jpg", "xt0.jpg", "Nut-T24.jpg", "Nut-T0-T24.jpg", "Nut-T0-a.jpg",
        "Nut-T0-1-2.jpg", "Nut-T0.5.jpg", "Nut-T0-.jpg", "Nut-T0 copy.jpg", "T0-Nut.jpg", "Nut T0.jpg",
    ],
)  # fmt: skip
def test_other_names(name: str) -> None:
    assert not is_baseline(Path("Nut-T0") / name, "T0")


def test_the_tag_is_plain_text() -> None:
    assert is_baseline(Path("nut-new-2.jpg"), "New")
    assert not is_baseline(Path("nut-T0.jpg"), "T.")
    assert not is_baseline(Path("nut-T0.jpg"), "T24")


def test_images_are_found_in_subfolders(tmp_path: Path) -> None:
    add_images(tmp_path, "b-T24.jpg", "nuts/b-T0.jpg", "a-T0-1.jpg")
    (tmp_path / "notes-T0.txt").write_text("no image")
    assert set(good_images(tmp_path)) == {tmp_path / "b-T24.jpg", tmp_path / "nuts/b-T0.jpg", tmp_path / "a-T0-1.jpg"}
    assert good_images(tmp_path) == sorted(good_images(tmp_path))
    assert baseline_images(tmp_path, "T0") == [tmp_path / "a-T0-1.jpg", tmp_path / "nuts/b-T0.jpg"]


def test_no_baseline_names_tag_and_folder(tmp_path: Path) -> None:
    add_images(tmp_path, "bolt01.jpg")
    with pytest.raises(UserError) as caught:
        baseline_images(tmp_path, "T0")
    assert "'T0'" in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_folders_without_images(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "elsewhere"):
        with pytest.raises(UserError) as caught:
            good_images(folder)
        assert str(folder) in str(caught.value)
