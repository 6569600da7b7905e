"""Faces of a part that nearly have the ground's colour, and lie open to the ground on one side.

Such a face is closed against the ground by an edge that is too faint for a threshold: the step to its own shadow, or
to a ground of nearly its lightness. A region that no path of small steps joins to the ground, and that mostly lies
beside the part, is a face if the rest of its rim is a sharp step. The rim is placed by watershed (Vincent and Soille,
"Watersheds in digital spaces", 1991).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fastener.preprocessing.holes import solidity
from fastener.preprocessing.morphology import components, ellipse, filled

# Lengths are in pixels of the copy on which the part is sought.
#
# A step counts if it is steeper than so many times the ground's usual steepest: several levels, as a brushed face has
# steps of its own, and its edge may be as faint as these.
_LEVELS = (2.0, 4.0, 8.0, 16.0)
_NOISE = 0.9  # quantile of the ground's steps
_WIDE, _FINE = 2.0, 0.7  # standard deviations of the blur that faint steps, and sharp ones, are measured after
_MARGIN = 32  # of ground round the part that is looked at; shadows end within it
_CLEAR = 2  # steps nearer to the part are the part's own edge
# In parts of the piece that a face belongs to; two pieces may enclose ground.
_SMALLEST, _LARGEST = 0.01, 0.2
# Least share of the rim that lies beside the part, and of the convex hull: ground between round parts is concave.
_BESIDE, _SOLID = 0.5, 0.88
# The rest of the rim is this many times as steep after the fine blur as after the wide one (a shadow hardly is), and
# as the ground's noise.
_SHARP, _CLEARLY = 1.4, 1.5
# A region of whose rim this share lies beside the part is a face, if the rest is not quite as soft as a shadow's end,
# and even if a streak at its rim was taken for the part, which leaves it less solid.
_ENCLOSED, _NOT_SOFT, _ENCLOSED_SOLID = 0.75, 1.15, 0.8
# It is mostly one run: ground among several parts has as many gaps.
_ONE_STEP = 0.8
# In medians of the border: up to the first distance a pixel shows the ground's noise, from the second a face differs.
_GROUND, _DIFFERS = 2.0, 1.5
_SAMPLE = 5  # of the ground's pixels every fifth is measured
# A ground with less noise than that, in lightness a pixel, was painted over: edges there are lettering.
_NO_CAMERA = 0.1
_SHADES = 8.0  # grey levels a unit of lightness
_CROSS = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class _Scene:
    """Hold the neighbourhood of the part, (h, w): what is surely part, and the steps of lightness outside of it."""

    part: np.ndarray
    pieces: np.ndarray
    areas: np.ndarray
    level: np.ndarray
    distance: np.ndarray
    wide: np.ndarray
    fine: np.ndarray
    noise: float
    fine_noise: float


def with_faces(
    mask: np.ndarray, lightness: np.ndarray, distance: np.ndarray, usual: float, threshold: float
) -> np.ndarray:
    """Add to bool ``mask`` (H, W), outlines without holes, the faces that nearly have the ground's colour: bool (H, W).

    ``lightness`` and ``distance``, the colour distance from the ground, are float32 (H, W) in CIELab units, and
    ``usual`` is the ground's own median distance. What differs from the ground by more than ``threshold`` and is
    connected to the mask bounds a face, too.
    """
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    box = np.s_[max(0, y - _MARGIN) : y + height + _MARGIN, max(0, x - _MARGIN) : x + width + _MARGIN]
    solid = mask[box]
    part = _connected((solid | (distance[box] > threshold)).view(np.uint8), solid)
    level = np.ascontiguousarray(lightness[box])
    free = 1 - cv2.dilate(part, ellipse(_CLEAR))
    inner = np.asarray(cv2.erode(free, _CROSS), np.uint8)
    ground = (distance[box] <= _GROUND * usual) & inner.view(bool)
    if not ground.any() or not solid.any():
        return mask
    weight = free.astype(np.float32)
    # Blurred without the part, whose own edge is steeper than all that is sought.
    blurred = cv2.GaussianBlur(level * weight, (0, 0), _WIDE) / (cv2.GaussianBlur(weight, (0, 0), _WIDE) + 1e-6)
    wide, fine = _steps(blurred), _steps(cv2.GaussianBlur(level, (0, 0), _FINE))
    noise, fine_noise = (float(np.quantile(steps[ground][::_SAMPLE], _NOISE)) + 1e-6 for steps in (wide, fine))
    if fine_noise < _NO_CAMERA:
        return mask
    _, pieces, stats, _ = components(part)
    scene = _Scene(part, pieces, stats[:, cv2.CC_STAT_AREA], level, distance[box], wide, fine, noise, fine_noise)
    least = _DIFFERS * usual
    found = np.zeros_like(part)
    for times in _LEVELS:
        calm = inner & (wide <= times * noise).view(np.uint8)
        _add_faces(found, calm, free, scene, least)
    if not found.any():
        return mask
    whole = mask.copy()
    # With the face comes what bounds it: a dark rim may be too thin for the mask.
    whole[box] |= filled(part) & (cv2.dilate(found, ellipse(2 * _CLEAR)) > 0)
    return filled(whole)


def _add_faces(found: np.ndarray, calm: np.ndarray, free: np.ndarray, scene: _Scene, least: float) -> None:
    """Add to ``found``, uint8 (h, w), the faces among the regions of ``calm``, uint8 (h, w)."""
    count, labels, stats, _ = components(calm, 4)
    smallest = _SMALLEST * scene.areas[1:].min()
    open_ = np.zeros(count, np.uint8)
    for line in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        open_[line] = 1
    open_[0] = 0
    for label in np.flatnonzero((open_ == 0) & (stats[:, cv2.CC_STAT_AREA] >= smallest / 4))[1:].tolist():
        x, y, width, height = stats[label, :4].tolist()
        at = np.s_[max(0, y - _MARGIN) : y + height + _MARGIN, max(0, x - _MARGIN) : x + width + _MARGIN]
        pocket = labels[at] == label
        if found[at][pocket].any() or np.median(scene.distance[at][pocket]) < least:
            continue
        away = open_[labels[at]]
        away[[1, -2]] = away[:, [1, -2]] = 1  # OpenCV's watershed passes over the outermost pixels
        face = _grown(pocket, scene.part[at], away & free[at], scene.level[at])
        if face.any() and _is_face(face, found[at], at, scene):
            found[at] |= face
            scene.part[at] |= face


def _grown(pocket: np.ndarray, part: np.ndarray, ground: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Grow a bool ``pocket`` (h, w) to the part and to the steepest place before the ground: uint8 (h, w)."""
    markers = np.where(pocket, 3, np.where(part > 0, 2, ground)).astype(np.int32)
    shades = np.clip((level - np.median(level[pocket])) * _SHADES + 128, 0, 255).astype(np.uint8)
    basins = cv2.watershed(cv2.cvtColor(shades, cv2.COLOR_GRAY2BGR), markers)
    return np.asarray((basins == 3) & (part == 0), np.uint8)


def _is_face(face: np.ndarray, found: np.ndarray, at: tuple[slice, slice], scene: _Scene) -> bool:
    """Tell whether a region, uint8 (h, w) ``at`` its place, is closed by the part and by a sharp step."""
    part = scene.part[at]
    rim = (cv2.dilate(face, _CROSS) - face).view(bool)
    touched = np.unique(scene.pieces[at][cv2.dilate(face, ellipse(_CLEAR)) > 0])
    share = np.count_nonzero(face) / max(int(scene.areas[touched[touched > 0]].sum()), 1)
    beside = float((cv2.dilate(part, ellipse(_CLEAR)) > 0)[rim].mean())
    least_solid, least_sharp = (_SOLID, _SHARP) if beside < _ENCLOSED else (_ENCLOSED_SOLID, _NOT_SOFT)
    if not _SMALLEST <= share <= _LARGEST or beside < _BESIDE or solidity(face > 0) < least_solid:
        return False
    far = cv2.dilate(part, ellipse(_CLEAR + 1)) == 0
    proof = rim & far
    if not proof.any():
        return bool(found[rim].any())  # between a face and the rest of the part
    if _longest(proof) < _ONE_STEP * np.count_nonzero(proof):
        return False
    fine, wide = (cv2.dilate(steps[at] * far, _CROSS)[proof] for steps in (scene.fine, scene.wide))
    sharp = float(np.median(fine / np.maximum(wide, 1e-3)))
    return bool(sharp >= least_sharp and np.quantile(fine, 0.25) >= _CLEARLY * scene.fine_noise)


def _longest(rim: np.ndarray) -> int:
    """Count the pixels of the longest run of bool ``rim`` (h, w); gaps of two pixels do not end it."""
    count, labels, _, _ = components(cv2.dilate(rim.view(np.uint8), _CROSS))
    return int(np.bincount(labels[rim], minlength=count).max())


def _connected(solid: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Keep the pieces of uint8 ``solid`` (h, w) that bool ``to`` (h, w) touches: uint8 (h, w)."""
    count, labels, _, _ = components(solid)
    kept = np.zeros(count, np.uint8)
    kept[labels[to]] = 1
    kept[0] = 0
    return np.asarray(kept[labels])


def _steps(level: np.ndarray) -> np.ndarray:
    """Steepness of float32 ``level`` (h, w), in its units a pixel: float32 (h, w)."""
    across, down = (cv2.Sobel(level, cv2.CV_32F, i, 1 - i, scale=1 / 8) for i in (1, 0))
    return np.asarray(cv2.magnitude(across, down))
