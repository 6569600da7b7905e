"""Find the background that two shots of a part show through its holes."""

from __future__ import annotations

import cv2
import numpy as np

from fastener.corrosion.photometry import luminance
from fastener.corrosion.places import EDGE_WIDTH, edge_shares, labelled, square, steepness
from fastener.corrosion.relief import lightness

# Light that both shots show at this share of their background's comes from the background, through a hole.
_BACKGROUND_SHARE = 0.6
# A part is dark if half of it sends less light than this share of the background's.
_DARK_PART = 0.3
# The sheet ends sharply at the rim of a hole, by this much in L* nearly everywhere; a highlight fades.
_HOLE_EDGE, _HOLE_PART = 20.0, 0.9
# The highlight of a thread ends as sharply, but covers less of the part than this share.
_LEAST_HOLE = 0.01


def shared_holes(
    before: np.ndarray, after: np.ndarray, both: np.ndarray, white_before: np.ndarray, white_after: np.ndarray
) -> np.ndarray:
    """Find where both shots show the background, through a hole or beside the part: bool (h, w).

    Bright metal may be as light as the background. So only what does not touch the outline, has a sharp rim, and is
    larger than a thread's highlight counts there.

    Parameters
    ----------
    before, after
        Luminance of T0 and of the shot, in one frame, 0 to 1: float32 (h, w).
    both
        Where both show the part, bool (h, w).
    white_before, white_after
        Colours of their backgrounds, RGB 0 to 255, (3,).
    """
    levels = luminance_of(white_before), luminance_of(white_after)
    side = max(both.shape)

    bright = (before > _BACKGROUND_SHARE * levels[0]) & (after > _BACKGROUND_SHARE * levels[1]) & both
    found = cv2.morphologyEx(bright.astype(np.uint8), cv2.MORPH_OPEN, square(0.006 * side)) > 0
    if both.any() and np.median(before[both]) >= _DARK_PART * levels[0]:
        found = _with_rims(found, before, both)
    return np.asarray(cv2.dilate(found.astype(np.uint8), square(0.013 * side)) > 0)


def _with_rims(places: np.ndarray, before: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Keep the large connected places away from the outline at whose edge T0's lightness falls nearly everywhere."""
    side = max(both.shape)
    count, labels = labelled(places)
    inner = cv2.erode(both.astype(np.uint8), square(0.01 * side), borderValue=0) > 0
    steep = steepness(np.where(both, lightness(before), 0.0)) >= _HOLE_EDGE / EDGE_WIDTH
    near = cv2.dilate(steep.astype(np.uint8), square(0.006 * side)) > 0
    keep = edge_shares(labels, count, near) >= _HOLE_PART
    keep &= np.bincount(labels.ravel(), minlength=count) >= _LEAST_HOLE * both.sum()
    keep[np.unique(labels[~inner])] = False
    keep[0] = False
    return np.asarray(keep[labels])


def luminance_of(white: np.ndarray) -> float:
    """Return the linear luminance, 0 to 1, of a colour, RGB 0 to 255, (3,)."""
    return float(luminance(np.rint(np.clip(white, 0, 255)).astype(np.uint8).reshape(1, 1, 3)).item())


def lightness_of(white: np.ndarray) -> float:
    """Return the lightness L*, 0 to 100, of a colour, RGB 0 to 255, (3,)."""
    return float(lightness(np.array(luminance_of(white))))
