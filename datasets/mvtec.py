"""The layout of MVTec AD: ``<root>/<category>/{train/good, test/<defect>, ground_truth/<defect>/<name>_mask.png}``.

Bergmann et al. 2019, "MVTec AD: A Comprehensive Real-World Dataset for Unsupervised Anomaly Detection". Other data sets
use the same layout, so nothing here depends on the fifteen original names. Masks may be missing for some or all images.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fastener.common.errors import UserError
from fastener.datasets.images import IMAGE_SUFFIXES, list_images, read_image
from fastener.datasets.labelled_image import LabelledImage

GOOD = "good"


@dataclass(frozen=True)
class Category:
    """One category: healthy training images, and labelled test images (none if there is no test folder)."""

    name: str
    train: tuple[Path, ...]
    test: tuple[LabelledImage, ...]

    @property
    def defects(self) -> tuple[str, ...]:
        """Defect types of the test images, sorted; "good" is not among them."""
        return tuple(sorted({label for image in self.test for label in image.labels if image.is_anomalous}))


def list_categories(root: Path) -> list[str]:
    """Names of the folders of ``root`` that have ``train/good``, sorted. Raises UserError if there is none."""
    if not root.is_dir():
        raise UserError(f"--mvtec-dir {root}: no such folder")
    names = sorted(path.name for path in root.iterdir() if (path / "train" / GOOD).is_dir())
    if not names:
        raise UserError(f"--mvtec-dir {root}: no category there; each is a folder with train/good inside")
    return names


def load_category(root: Path, name: str) -> Category:
    """The files of one category. Raises UserError, listing the categories that are there, if it is not among them."""
    known = list_categories(root)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise UserError(f"--category {name}: not in {root}{hint}; there are: {', '.join(known)}")
    folder = root / name
    return Category(name, tuple(list_images(folder / "train" / GOOD)), _test_images(folder))


def read_mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    """The defect's pixels as bool (H, W): what is not black, in a mask of grey levels what is over 127.

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
    """A folder's name for a person: "metal_nut" -> "Metal nut"."""
    return name.replace("_", " ").replace("-", " ").capitalize()


def _test_images(folder: Path) -> tuple[LabelledImage, ...]:
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
    """``<stem>_mask.<ending>`` as in MVTec AD, or ``<stem>.<ending>``, whichever is there."""
    for stem in (f"{path.stem}_mask", path.stem):
        for suffix in sorted(IMAGE_SUFFIXES):
            candidate = folder / f"{stem}{suffix}"
            if candidate.is_file():
                return candidate
    return None
