"""A mask without the soft shadows that the threshold took in beside the part.

A shadow merges softly with the ground, and ends at the part's own edge, which is sharp. So the border between what is
surely ground and what is surely part is sought at the steepest place between them, by watershed (Vincent and Soille,
"Watersheds in digital spaces", 1991). What then falls to the ground is a shadow if it is a band along the part whose
outer border is soft for what lies behind it. A bright face of metal has a sharp outer border, if a faint one.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

# A pixel is surely of the part if it differs from the ground as much as its darkest quarter, or nearly so.
_FARTHEST, _SURE = 0.75, 0.95
# Steepest step within three pixels, at a shadow's outer border and within it, in parts of its difference from the
# ground.
_SOFT = 0.22
# A shadow covers at most this share of a mask, and is a band: its borders with ground and part are about as long.
_MOST, _OUTER = 0.3, (0.45, 1.5)
# No part lies beyond a shadow: what would be cut off the part with it is at most this share of the part.
_MOST_BEYOND = 0.01
_AWAY = 4  # pixels between the mask and what is surely ground
_SMALLEST = 12  # pixels
_FEW = 2000  # pixels of the ground whose median is its colour
_DEEP = 0.75  # quantile of the differences from the ground that is the shadow's own
_CROSS, _WIDE = np.ones((3, 3), np.uint8), np.ones((5, 5), np.uint8)


def without_shadows(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Take soft shadows out of the bool ``mask`` (h, w) of one part: bool (h, w), one connected piece.

    ``photo`` is uint8 RGB (h, w, 3). Without ground round the mask it stays as it is.
    """
    solid = mask.astype(np.uint8)
    x, y, width, height = cv2.boundingRect(solid)
    margin = 3 * _AWAY
    box = np.s_[max(0, y - margin) : y + height + margin, max(0, x - margin) : x + width + margin]
    solid, photo = np.ascontiguousarray(solid[box]), np.ascontiguousarray(photo[box])
    near = cv2.dilate(solid, np.ones((2 * _AWAY + 1, 2 * _AWAY + 1), np.uint8))
    step = 1 + int(np.sqrt(solid.size / _FEW))
    away = photo[::step, ::step][near[::step, ::step] == 0]
    if not solid.any() or not len(away):
        return mask
    ground = np.median(away, axis=0)
    differs = _strongest(cv2.absdiff(photo, np.append(ground, 0.0)))
    own = cv2.calcHist([differs], [0], solid, [256], [0, 256]).ravel().cumsum()
    farthest = int(np.searchsorted(own, _FARTHEST * own[-1]))
    sure = (differs >= _SURE * farthest).view(np.uint8) & solid
    markers = (1 - solid + 2 * np.asarray(cv2.morphologyEx(sure, cv2.MORPH_OPEN, _CROSS), np.uint8)).astype(np.int32)
    calm = cv2.GaussianBlur(photo, (3, 3), 0)
    darker = (_strongest(photo) < ground.max()).view(np.uint8)
    to_ground = (cv2.watershed(calm, markers) != 2).view(np.uint8) & solid & darker
    found = np.asarray(cv2.morphologyEx(to_ground, cv2.MORPH_OPEN, _CROSS), np.uint8)
    lost = _shadows(found, solid, calm, differs) if cv2.countNonZero(found) else found
    if not cv2.countNonZero(lost):
        return mask
    kept = _largest(solid & (1 - lost))
    if cv2.countNonZero(solid & (1 - lost)) - np.count_nonzero(kept) > _MOST_BEYOND * np.count_nonzero(kept):
        return mask
    result = np.zeros_like(mask)
    result[box] = kept
    return result


def _shadows(found: np.ndarray, solid: np.ndarray, photo: np.ndarray, differs: np.ndarray) -> np.ndarray:
    """Keep the pieces of ``found`` that are shadows: uint8 (h, w).

    ``photo`` is uint8 (h, w, 3), ``differs`` the difference of each pixel from the ground, uint8 (h, w).
    """
    steep = _strongest(cv2.morphologyEx(photo, cv2.MORPH_GRADIENT, _CROSS))
    outer = np.asarray(cv2.dilate(1 - solid, _CROSS), np.uint8)
    inner = np.asarray(cv2.dilate(solid & (1 - found), _CROSS), np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(found, ltype=cv2.CV_16U)
    lost = np.zeros_like(found)
    most = _MOST * cv2.countNonZero(solid)
    for label in range(1, count):
        x, y, width, height, area = stats[label].tolist()
        if not _SMALLEST <= area <= most:
            continue
        at = np.s_[y : y + height, x : x + width]
        piece = labels[at] == label
        outside, inside = steep[at][piece & (outer[at] > 0)], np.count_nonzero(piece & (inner[at] > 0))
        if not (inside and _OUTER[0] * inside <= outside.size <= _OUTER[1] * inside):
            continue
        deep = _quantile(differs[at][piece], _DEEP)
        if _quantile(outside, 0.5) < _SOFT * deep:
            # A bright face may be joined to a shadow by a gap in its outline: no step leads into a shadow.
            soft = (piece & (steep[at] <= _SOFT * deep)).view(np.uint8)
            lost[at] |= np.asarray(cv2.dilate(_touching(soft, outer[at]), _WIDE), np.uint8) & piece
    return lost


def _quantile(values: np.ndarray, share: float) -> float:
    """Quantile of a few uint8 values (n,), in a fraction of the time that NumPy's takes."""
    ordered = np.sort(values)
    at = share * (len(ordered) - 1)
    low, high = int(ordered[int(at)]), int(ordered[math.ceil(at)])
    return low + (at - int(at)) * (high - low)


def _touching(solid: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Keep the pieces of ``solid``, uint8 (h, w), of which a pixel lies in ``where``, uint8 (h, w): uint8 (h, w)."""
    count, labels = cv2.connectedComponents(solid, ltype=cv2.CV_16U)
    kept = np.zeros(count, np.uint8)
    kept[labels[(solid & where).view(bool)]] = 1
    return np.asarray(kept[labels])


def _strongest(photo: np.ndarray) -> np.ndarray:
    """Highest of the three channels, uint8 (h, w)."""
    red, green, blue = cv2.split(photo)
    return np.asarray(cv2.max(cv2.max(red, green), blue))


def _largest(solid: np.ndarray) -> np.ndarray:
    """The largest connected piece of ``solid``, uint8 (h, w), as bool."""
    count, labels = cv2.connectedComponents(solid, ltype=cv2.CV_16U)
    if count <= 2:
        return solid.view(bool)
    areas = np.bincount(labels.ravel(), minlength=count)
    return np.asarray(labels == 1 + int(areas[1:].argmax()))
