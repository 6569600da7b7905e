"""Read folders in the layout of MVTec AD.

A category holds ``train/good``, ``test/<defect>`` and ``ground_truth/<defect>/<name>_mask.png``.

Bergmann et al. 2019, "MVTec AD: A Comprehensive Real-World Dataset for Unsupervised Anomaly Detection". Other data sets
use the same layout, so nothing here depends on the fifteen original names, and folders are found however they are
spelt, see datasets/names.py. Masks may be missing for some or all images.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from fastener.common.errors import UserError
from fastener.datasets.dataset import GOOD, TEST, TRAIN, Category
from fastener.datasets.labelled_image import LabelledImage
from fastener.datasets.listing import files_in, folders_in, is_image, list_images, without_results
from fastener.datasets.masks import Masks
from fastener.datasets.masks import read_mask as read_mask
from fastener.datasets.names import is_good, masks_in, subfolder


def good_folder(category: Path) -> Path | None:
    """Find the folder of healthy training photos in the folder of a category; None if it is no category."""
    train = subfolder(category, TRAIN, "training")
    if train is None:
        return None
    good = [path for path in folders_in(train) if is_good(path.name)]
    return next((path for path in good if path.name == GOOD), good[0] if good else None)


def list_categories(root: Path) -> list[str]:
    """List the folders of ``root`` that have ``train/good``, sorted by name. Raises UserError if there is none."""
    if not root.is_dir():
        problem = "is a file; name its folder" if root.is_file() else "no such folder; check the path"
        raise UserError(f"{root}: {problem}")
    names = [path.name for path in folders_in(root) if good_folder(path) is not None]
    if not names:
        raise UserError(f"{root}: no category there; each is a folder with train/good inside")
    return names


def good_images(category: Path) -> list[Path]:
    """List the healthy training photos of a category, sorted. Raises UserError if there is none."""
    return list_images(good_folder(category) or category / TRAIN / GOOD)


def load_category(root: Path, name: str) -> Category:
    """Read the files of one category. Raises UserError if there is no such category; the line lists the others."""
    check_category(root, name, list_categories(root))
    return Category(name, tuple(good_images(root / name)), test_images(root / name))


def check_category(root: Path, name: str, known: Sequence[str]) -> None:
    """Raise UserError, with the nearest name and a list of all, unless ``name`` is among the ``known`` categories."""
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise UserError(f"--category {name}: not in {root}{hint}; there are: {', '.join(known)}")


def readable(name: str) -> str:
    """Turn a folder's name into one for a person: "metal_nut" becomes "Metal nut"."""
    return name.replace("_", " ").replace("-", " ").capitalize()


def test_images(folder: Path) -> tuple[LabelledImage, ...]:
    """List the test images of the category in ``folder`` with their defects and masks; none without a test folder.

    A folder without images is no type of defect. A mask beside its photo is no photo.
    """
    root = subfolder(folder, TEST, "testing")
    images: list[LabelledImage] = []
    for defect in [] if root is None else folders_in(root):
        photos, beside = _photos_and_masks(defect)
        label = GOOD if is_good(defect.name) else defect.name
        truth = masks_in(folder)
        masks = Masks(photos, None if truth is None else subfolder(truth, defect.name))
        for photo in photos:
            mask = None if label == GOOD else masks.of(photo) or beside.get(photo)
            images.append(LabelledImage(defect / photo, label != GOOD, (label,), mask))
    return tuple(images)


def _photos_and_masks(folder: Path) -> tuple[list[Path], dict[Path, Path]]:
    """List the photos of a folder, relative to it, and the masks that lie beside them."""
    paths = sorted(path.relative_to(folder) for path in without_results([p for p in files_in(folder) if is_image(p)]))
    by_name = {path.with_suffix(""): path for path in paths}
    masks = {}
    for path in paths:
        for ending in ("_mask", "_gt"):
            if path.stem.endswith(ending) and path.with_name(path.stem.removesuffix(ending)) in by_name:
                masks[by_name[path.with_name(path.stem.removesuffix(ending))]] = path
    return [path for path in paths if path not in masks.values()], {one: folder / mask for one, mask in masks.items()}
