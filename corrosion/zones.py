"""Say which part of the surface is significant: a rectangle, a polygon or drawn masks, on the photo at T0."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from fastener.common.errors import UserError
from fastener.datasets.images import IMAGE_SUFFIXES, read_image
from fastener.preprocessing.pipeline import Prepared

# The significant pixels of a T0 photo in its canonical frame, bool (h, w); None where the zone does not name the photo.
Zone = Callable[[Path, Prepared], np.ndarray | None]

_HELP = (
    "give left,top,right,bottom, or three or more corners 'x,y x,y x,y', as shares of the T0 photo from 0 to 1; "
    "or a mask image (white counts), or a folder of masks named as the T0 photos"
)


def parse_zone(text: str) -> Zone:
    """Parse ``--zone``: a rectangle, a polygon, a mask image or a folder of masks.

    Raises UserError, in one line, for other texts, numbers outside 0 to 1, and zones without area.
    """
    path = Path(text)
    if path.is_dir():
        return _MaskFolder(path)
    if path.is_file():
        mask = _read_mask(path)
        return lambda photo, prepared: _in_frame(mask, prepared)
    corners = _corners(text)
    return lambda photo, prepared: _filled(corners, prepared)


class _MaskFolder:
    """Masks in a folder, each named as the T0 photo that it belongs to."""

    def __init__(self, folder: Path) -> None:
        self._masks = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES}
        if not self._masks:
            raise UserError(f"--zone {folder}: no mask image in this folder; name masks as the T0 photos")

    def __call__(self, photo: Path, prepared: Prepared) -> np.ndarray | None:
        path = self._masks.get(photo.stem)
        return None if path is None else _in_frame(_read_mask(path), prepared)


def _corners(text: str) -> np.ndarray:
    """Parse the corners of a rectangle or polygon, float64 (n, 2) of (x, y) as shares of the photo."""
    try:
        numbers = [[float(value) for value in part.split(",")] for part in text.split()]
    except ValueError:
        raise UserError(f"--zone {text}: no such file or folder, and no corners; {_HELP}") from None
    if len(numbers) == 1 and len(numbers[0]) == 4:
        left, top, right, bottom = numbers[0]
        numbers = [[left, top], [right, top], [right, bottom], [left, bottom]]
    if len(numbers) < 3 or any(len(corner) != 2 for corner in numbers):
        raise UserError(f"--zone {text}: {_HELP}")
    corners = np.array(numbers)
    if not ((corners >= 0) & (corners <= 1)).all() or cv2.contourArea(corners.astype(np.float32)) <= 0:
        raise UserError(f"--zone {text}: corners must lie within 0 to 1 and enclose an area; {_HELP}")
    return corners


def _filled(corners: np.ndarray, prepared: Prepared) -> np.ndarray:
    height, width = prepared.photo_size
    # Pixel centres lie at whole numbers, so that the photo reaches from -0.5 to its size less 0.5.
    points = corners * (width, height) - 0.5
    moved = points @ prepared.transform[:, :2].T + prepared.transform[:, 2]
    drawn = np.zeros(prepared.mask.shape, np.uint8)
    cv2.fillPoly(drawn, [np.rint(moved).astype(np.int32)], 1)
    return drawn.astype(bool)


def _in_frame(mask: np.ndarray, prepared: Prepared) -> np.ndarray:
    height, width = prepared.photo_size
    scaled = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
    size = prepared.mask.shape[1], prepared.mask.shape[0]
    return np.asarray(cv2.warpAffine(scaled, prepared.transform, size, flags=cv2.INTER_NEAREST) > 0)


def _read_mask(path: Path) -> np.ndarray:
    mask = np.asarray(read_image(path).mean(axis=2) >= 128, np.uint8)
    if not mask.any():
        raise UserError(f"--zone {path}: the mask is black; white marks what counts")
    return mask
