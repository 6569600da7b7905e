"""Through holes of a part: regions within its outline that show the background."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from fastener.preprocessing.morphology import opened
from fastener.preprocessing.otsu import otsu_threshold

# Least and greatest area of a hole, in parts of its piece. A ring that is thinner keeps its hole as part of it.
_SMALLEST, _LARGEST = 0.03, 0.5
# Within unbroken edges: greatest colour distance, in medians of the border, and least share of the convex hull.
_EDGED_DISTANCE, _EDGED_SOLIDITY = 6.0, 0.85
# By the second threshold: greatest median distance of the ground's own colour, in parts of the first threshold; or
# least separability of the two classes and roundness of a hole that shows the ground dimly.
_GROUND_COLOUR, _SEPARABILITY, _ROUNDNESS = 0.25, 0.75, 0.8
# A bright face of metal has the ground's colour, but more grain or another place: holes of fasteners are central.
# Grain is in units of the border's median grain, distance from the centre in square roots of the piece's area.
_GRAIN_SIGMA, _MOST_GRAIN, _OFF_CENTRE, _LEAST_ROUNDNESS = 2.0, 1.8, 0.15, 0.6
# A ground that is so bright that the camera cuts it off has less grain than rounding to grey levels of 0.4 units makes.
_ROUNDING = 0.15
_INNER = np.ones((5, 5), np.uint8)


@dataclass(frozen=True)
class Ground:
    """How a photo compares with its own background.

    Parameters
    ----------
    distance : float32 (H, W), CIELab units
        Colour distance of each pixel from the background.
    grain : float32 (H, W), CIELab units
        Local contrast of each pixel, see ``grain_of``.
    border : bool (H, W)
        The ring along the photo's border where the background is seen.
    threshold : float, CIELab units
        Distance from which a pixel differs from the background.
    """

    distance: np.ndarray
    grain: np.ndarray
    border: np.ndarray
    threshold: float

    def is_plain(self, region: np.ndarray) -> bool:
        """Tell whether a region, bool (H, W), has hardly more grain than the background.

        The region's rim is left out, since it is a blend of two surfaces.
        """
        inner = cv2.erode(region.astype(np.uint8), _INNER) > 0
        if not inner.any():
            inner = region
        return bool(
            np.median(self.grain[inner]) <= _MOST_GRAIN * max(float(np.median(self.grain[self.border])), _ROUNDING)
        )


def grain_of(lightness: np.ndarray) -> np.ndarray:
    """Measure local contrast: absolute difference of lightness, float32 (H, W), from a copy blurred by 2 px."""
    return np.abs(lightness - cv2.GaussianBlur(lightness, (0, 0), _GRAIN_SIGMA))


def cut_holes(whole: np.ndarray, ground: Ground, edges: np.ndarray) -> np.ndarray:
    """Cut the through holes out of filled outlines, bool ``whole`` (H, W); bool (H, W).

    Reflections look like the ground, and the ground in a deep hole is dim, so neither follows from one threshold. A
    region that looks like the ground within unbroken ``edges``, bool (H, W), is a hole if it is of one piece without
    bays. A second Otsu threshold within the outlines gives the regions nearer to the ground: one of these is a hole if
    it clearly has the ground's colour, or if it is round and the two classes are well apart. Neither is one if it has
    more grain than the ground, is long, fills most of its piece, or lies off centre. A hole off centre counts as
    part, which harms less than a lost face: all photos of such parts show it.
    """
    inner, separability = otsu_threshold(ground.distance[whole])
    count, pieces, stats, centres = cv2.connectedComponentsWithStats(whole.astype(np.uint8))
    rim = cv2.erode(whole.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
    smallest = _SMALLEST * whole.sum() / max(count - 1, 1)

    def fits(region: np.ndarray) -> bool:
        piece = pieces[region][0]
        area = float(stats[piece, cv2.CC_STAT_AREA])
        rows, columns = np.nonzero(region)
        off_centre = np.hypot(columns.mean() - centres[piece, 0], rows.mean() - centres[piece, 1]) / np.sqrt(area)
        compact = roundness(region) > _LEAST_ROUNDNESS and region.sum() <= _LARGEST * area
        return compact and off_centre <= _OFF_CENTRE and ground.is_plain(region)

    result = whole.copy()
    like_ground = ground.distance < _EDGED_DISTANCE * np.median(ground.distance[ground.border])
    for hole in _regions(whole & like_ground & ~edges, smallest, rim):
        if solidity(hole) > _EDGED_SOLIDITY and fits(hole):
            result &= ~cv2.dilate(hole.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    for hole in _regions(whole & (ground.distance < inner), smallest, rim):
        same_colour = np.median(ground.distance[hole]) < _GROUND_COLOUR * ground.threshold
        if (same_colour or (separability > _SEPARABILITY and roundness(hole) > _ROUNDNESS)) and fits(hole):
            result &= ~hole
    return result


def _regions(mask: np.ndarray, smallest: float, rim: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the pieces of ``mask``, bool (H, W) each, of at least ``smallest`` pixels that do not touch ``rim``."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(opened(mask).astype(np.uint8), connectivity=4)
    for label in range(1, count):
        region = labels == label
        if stats[label, cv2.CC_STAT_AREA] >= smallest and not (region & rim).any():
            yield region


def solidity(region: np.ndarray) -> float:
    """Area of a region, bool (H, W), over that of its convex hull: 1 for a disc or a lens, less for a ring."""
    hull = cv2.convexHull(np.argwhere(region).astype(np.int32))
    return float(region.sum() / max(cv2.contourArea(hull), 1.0))


def roundness(region: np.ndarray) -> float:
    """Area over that of a circle with the perimeter of the region's convex hull; bool (H, W), 1 for a disc."""
    points = np.argwhere(region).astype(np.int32)
    perimeter = cv2.arcLength(cv2.convexHull(points), True)
    return float(4.0 * np.pi * region.sum() / max(perimeter, 1.0) ** 2)
