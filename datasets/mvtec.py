"""Read folders in the layout of MVTec AD.

A category holds ``train/good``, ``test/<defect>`` and ``ground_truth/<defect>/<name>_mask.png``.

Bergmann et al. 2019, "MVTec AD: A Comprehensive Real-World Dataset for Unsupervised Anomaly Detection". Other data sets
use the same layout, so nothing here depends on the fifteen original names. Masks may be missing for some or all images.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fastener.common.errors import UserError
from fastener.datasets.dataset import GOOD, Category
from fastener.datasets.images import IMAGE_SUFFIXES, list_images, read_image
from fastener.datasets.labelled_image import LabelledImage


def list_categories(root: Path) -> list[str]:
    """List the folders of ``root`` that have ``train/good``, sorted by name. Raises UserError if there is none."""
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; check the path")
    names = sorted(path.name for path in root.iterdir() if (path / "train" / GOOD).is_dir())
    if not names:
        raise UserError(f"{root}: no category there; each is a folder with train/good inside")
    return names


def load_category(root: Path, name: str) -> Category:
    """Read the files of one category. Raises UserError if there is no such category; the line lists the others."""
    check_category(root, name, list_categories(root))
    folder = root / name
    return Category(name, tuple(list_images(folder / "train" / GOOD)), test_images(folder))


def check_category(root: Path, name: str, known: Sequence[str]) -> None:
    """Raise UserError, with the nearest name and a list of all, unless ``name`` is among the ``known`` categories."""
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise UserError(f"--category {name}: not in {root}{hint}; there are: {', '.join(known)}")


def read_mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Read a mask as bool (H, W): pixels of the defect are True.

    A pixel belongs to the defect if its level is over 127, or over 0 in a mask without levels that high.

    Raises UserError if the file cannot be read, or is not of the photo's ``size`` (H, W).
    """
    levels = read_image(path)[..., 0]
    mask = levels > (127 if levels.max() > 127 else 0)
    if mask.shape != size:
        raise UserError(
            f"{path}: the mask is {mask.shape[1]} x {mask.shape[0]}, its photo {size[1]} x {size[0]} pixels"
        )
    return np.asarray(mask)


def readable(name: str) -> str:
    """Turn a folder's name into one for a person: "metal_nut" becomes "Metal nut"."""
    return name.replace("_", " ").replace("-", " ").capitalize()


def test_images(folder: Path) -> tuple[LabelledImage, ...]:
    """List the test images of the category in ``folder`` with their defects and masks; none without a test folder."""
    root = folder / "test"
    if not root.is_dir():
        return ()
    images = []
    for defect in sorted(path for path in root.iterdir() if path.is_dir()):
        for path in list_images(defect) if any(defect.iterdir()) else []:
            anomalous = defect.name != GOOD
            mask = _mask_of(path, folder / "ground_truth" / defect.name) if anomalous else None
            images.append(LabelledImage(path, anomalous, (defect.name,), mask))
    return tuple(images)


def _mask_of(path: Path, folder: Path) -> Path | None:
    """Find the mask of a photo: ``<stem>_mask.<ending>`` as in MVTec AD, or else ``<stem>.<ending>``."""
    for stem in (f"{path.stem}_mask", path.stem):
        for suffix in sorted(IMAGE_SUFFIXES):
            candidate = folder / f"{stem}{suffix}"
            if candidate.is_file():
                return candidate
    return None
