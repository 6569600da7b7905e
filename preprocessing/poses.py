"""How parts lie in the training photos: whether they have to be found and turned, and in which frame they fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from fastener.preprocessing.registration import (
    frame_transform,
    has_long_axis,
    padded,
    part_transform,
    turned_box,
    upright_angle,
    warp,
)
from fastener.preprocessing.segmentation import Part

_NEARLY_ALL = 0.95
_STEADY = np.deg2rad(10.0)
# Photos, or parts cut out of them, are compared as thumbnails of so many pixels a side. Photos of a rig correlate by so
# much at least; with as much as turned parts do but for the last number, nothing is gained by turning them.
_THUMBNAIL, _ALIKE, _LITTLE = 24, 0.5, 0.02
_FEWEST = 8  # photos that tell
_MOSTLY = 0.5


@dataclass(frozen=True)
class Pose:
    """How the part lies in a photo.

    Parameters
    ----------
    angle : float
        By which its long axis becomes vertical, in radians; NaN if it has none.
    extent : ndarray of float64, (2,)
        Width and height of the box round the upright part, in pixels of the photo that it was sought in.
    alone : bool
        Whether the photo shows one piece, all of it, and nothing that touches the border.
    found : bool
        Whether a part was found at all.
    photo, turned : ndarray of float32, (24, 24)
        Lightness of the whole photo, and of the part cut out and turned upright, both small.
    """

    angle: float
    extent: np.ndarray
    alone: bool
    found: bool
    photo: np.ndarray
    turned: np.ndarray

    @classmethod
    def of(cls, photo: np.ndarray, part: Part, padding: float = 0.0) -> Pose:
        """Of a part that was found in ``photo``, uint8 RGB (H, W, 3), or a smaller copy of it.

        ``padding`` widens the box, as a share of its longer side.
        """
        long = part.pieces == 1 and has_long_axis(part.mask)
        angle = upright_angle(part.mask) if long else np.nan
        low, high = turned_box(part.mask, np.eye(2, 3), angle if long else 0.0)
        border = (part.mask[0], part.mask[-1], part.mask[:, 0], part.mask[:, -1])
        alone = part.found and part.pieces == 1 and not any(side.any() for side in border)
        grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
        to_mask = frame_transform(grey.shape, part.mask.shape)
        size = (_THUMBNAIL, _THUMBNAIL)
        cut_out = part_transform(part.mask, to_mask, angle if long else 0.0, padding, size)
        whole = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        turned = warp(grey, cut_out, size).astype(np.float32)
        return cls(angle, padded(high - low, padding), alone, part.found, whole, turned)


def lie_at_various_angles(poses: Sequence[Pose]) -> bool:
    """Tell whether nearly every photo shows one long part, and these parts lie at various angles.

    Angles vary if their circular standard deviation, of axes without a direction, is over 10 degrees (Mardia and Jupp
    2000, "Directional Statistics", section 2.3.3).
    """
    long = [pose.angle for pose in poses if pose.alone and not np.isnan(pose.angle)]
    if len(long) < max(2.0, _NEARLY_ALL * len(poses)):
        return False
    length = abs(np.exp(2j * np.array(long)).mean())
    return bool(length < np.exp(-2.0 * _STEADY**2))


def lie_in_various_places(poses: Sequence[Pose]) -> bool:
    """Tell whether nearly every photo shows one part by itself, and the photos do not correlate."""
    if len(poses) < _FEWEST or sum(pose.alone for pose in poses) < _NEARLY_ALL * len(poses):
        return False
    return _correlation([pose.photo for pose in poses]) < _ALIKE


def need_no_search(poses: Sequence[Pose]) -> bool:
    """Tell whether photos are better taken whole: parts are rarely found, or lie in place already.

    Parts lie in place where photos correlate, and parts that were cut out and turned correlate no better: a cookie on a
    belt, a brush in its holder. What is found and turned is then noise. Of few photos this is not asked.
    """
    if len(poses) < _FEWEST:
        return False
    if np.mean([pose.found for pose in poses]) < _MOSTLY:
        return True
    alike = _correlation([pose.photo for pose in poses])
    return alike >= max(_ALIKE, _correlation([pose.turned for pose in poses]) - _LITTLE)


def _correlation(pictures: Sequence[np.ndarray]) -> float:
    """Mean correlation of all pairs of pictures (h, w)."""
    rows = np.stack([picture.ravel() - picture.mean() for picture in pictures])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-6)
    n = len(rows)
    return float((np.square(rows.sum(0)).sum() - np.square(rows).sum()) / (n * (n - 1)))
