"""A mask without the soft shadows that the threshold took in beside the part.

A shadow merges softly with the ground, and ends at the part's own edge, which is sharp. So the border between what is
surely ground and what is surely part is sought at the steepest place between them, by watershed (Vincent and Soille,
"Watersheds in digital spaces", 1991), and what then falls to the ground is a shadow if its outer border is much softer
than its inner one: a bright face of metal has a sharp outer border, too.
"""

from __future__ import annotations

import cv2
import numpy as np

# A pixel is surely of the part if it differs from the ground as much as its darkest quarter, or nearly so.
_FARTHEST, _SURE = 0.75, 0.95
# A shadow's outer border is at most this part as steep as its inner one; a shadow covers at most this share of a mask,
_SOFT, _MOST = 0.45, 0.3
# and its outer border is at least this part as long as its inner one.
_OPEN = 0.35
_AWAY = 4  # pixels between the mask and what is surely ground
_SMALLEST = 12  # pixels
_FEW = 2000  # pixels of the ground whose median is its colour
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
    away = np.flatnonzero(cv2.dilate(solid, np.ones((2 * _AWAY + 1, 2 * _AWAY + 1), np.uint8)) == 0)
    if not solid.any() or not away.size:
        return mask
    ground = np.median(photo.reshape(-1, 3)[away[:: len(away) // _FEW + 1]], axis=0)
    differs = _strongest(cv2.absdiff(photo, np.broadcast_to(ground.astype(np.uint8), photo.shape)))
    own = np.bincount(differs[solid > 0], minlength=256).cumsum()
    farthest = int(np.searchsorted(own, _FARTHEST * own[-1]))
    sure = (differs >= _SURE * farthest).astype(np.uint8) & solid
    markers = np.where(solid > 0, 2 * cv2.morphologyEx(sure, cv2.MORPH_OPEN, _CROSS).astype(np.int32), 1)
    calm = cv2.GaussianBlur(photo, (3, 3), 0)
    darker = (_strongest(photo) < ground.max()).astype(np.uint8)
    to_ground = (cv2.watershed(calm, markers) != 2).astype(np.uint8) & solid & darker
    steep = _strongest(cv2.morphologyEx(calm, cv2.MORPH_GRADIENT, _CROSS))
    lost = _shadows(cv2.morphologyEx(to_ground, cv2.MORPH_OPEN, _CROSS), solid, steep)
    if not lost.any():
        return mask
    result = np.zeros_like(mask)
    result[box] = _largest(solid & (1 - lost))
    return result


def _shadows(found: np.ndarray, solid: np.ndarray, steep: np.ndarray) -> np.ndarray:
    """Keep the pieces of ``found`` that are shadows: uint8 (h, w). ``steep`` is the steepness of the photo."""
    outer, inner = cv2.dilate(1 - solid, _CROSS) > 0, cv2.dilate(solid & (1 - found), _CROSS) > 0
    edges = steep[(found > 0) & inner]
    if not edges.size:
        return np.zeros_like(found)
    # A bright face may be joined to a shadow by a gap in its outline: no step leads from the ground into a shadow.
    soft = found & (steep <= _SOFT * np.median(edges)).astype(np.uint8)
    soft = soft & _touching(soft, outer)
    labels = cv2.connectedComponents(cv2.dilate(soft, _WIDE) & found, connectivity=4)[1]
    kept = np.zeros(int(labels.max()) + 1, np.uint8)
    for label in np.flatnonzero(np.bincount(labels.ravel()) >= _SMALLEST)[1:].tolist():
        piece = labels == label
        outside, inside = steep[piece & outer], steep[piece & inner]
        if outside.size >= _OPEN * inside.size > 0 and piece.sum() <= _MOST * solid.sum():
            kept[label] = np.median(outside) < _SOFT * np.median(inside)
    return np.asarray(kept[labels])


def _touching(solid: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Keep the pieces of ``solid``, uint8 (h, w), of which a pixel lies in bool ``where``: uint8 (h, w)."""
    labels = cv2.connectedComponents(solid, connectivity=4)[1]
    kept = np.zeros(int(labels.max()) + 1, np.uint8)
    kept[labels[where]] = 1
    kept[0] = 0
    return np.asarray(kept[labels])


def _strongest(photo: np.ndarray) -> np.ndarray:
    """Highest of the three channels, uint8 (h, w)."""
    red, green, blue = cv2.split(photo)
    return np.asarray(cv2.max(cv2.max(red, green), blue))


def _largest(solid: np.ndarray) -> np.ndarray:
    """The largest connected piece of ``solid``, uint8 (h, w), as bool."""
    labels = cv2.connectedComponents(solid, connectivity=4)[1]
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    return np.asarray((labels == areas.argmax()) & (solid > 0))
