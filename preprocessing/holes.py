"""Through holes of a part: regions within its outline that show the background."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from fastener.preprocessing.morphology import box_of, closed, components, opened
from fastener.preprocessing.otsu import otsu_threshold

# Least and greatest area of a hole, in parts of its piece. A ring that is thinner keeps its hole as part of it.
_SMALLEST, _LARGEST = 0.03, 0.5
# Within unbroken edges: greatest colour distance, in medians of the border, and least share of the convex hull.
_EDGED_DISTANCE, _EDGED_SOLIDITY = 6.0, 0.85
# What is larger than a hole that edges have shown is convex, or it is no hole.
_GROWN_SOLIDITY = 0.95
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
    lightness : float32 (H, W), CIELab units
        Lightness of each pixel.
    border : bool (H, W)
        The ring along the photo's border where the background is seen.
    threshold : float, CIELab units
        Distance from which a pixel differs from the background.
    usual : float, CIELab units
        Median distance along the border.
    """

    distance: np.ndarray
    lightness: np.ndarray
    border: np.ndarray
    threshold: float
    usual: float

    @cached_property
    def grain(self) -> np.ndarray:
        """Local contrast of each pixel, float32 (H, W), see ``grain_of``."""
        return grain_of(np.ascontiguousarray(self.lightness))

    @cached_property
    def most_grain(self) -> float:
        """Grain of a region that has hardly more than the background."""
        return _MOST_GRAIN * max(float(np.median(self.grain[self.border])), _ROUNDING)

    def is_plain(self, region: np.ndarray, grain: np.ndarray) -> bool:
        """Tell whether a region, bool (h, w), has hardly more grain, float32 (h, w), than the background.

        The region's rim is left out, since it is a blend of two surfaces.
        """
        inner = cv2.erode(region.view(np.uint8), _INNER) > 0
        if not inner.any():
            inner = region
        return bool(np.median(grain[inner]) <= self.most_grain)


def grain_of(lightness: np.ndarray) -> np.ndarray:
    """Measure local contrast: absolute difference of lightness, float32 (H, W), from a copy blurred by 2 px."""
    return np.abs(lightness - cv2.GaussianBlur(lightness, (0, 0), _GRAIN_SIGMA))


def cut_holes(whole: np.ndarray, ground: Ground, edges: np.ndarray) -> np.ndarray:
    """Cut the through holes out of filled outlines, bool ``whole`` (H, W); bool (H, W).

    Reflections look like the ground, and the ground in a deep hole is dim, so neither follows from one threshold. A
    region that looks like the ground within unbroken ``edges``, bool (H, W), whose gaps are closed, is a hole if it is
    of one piece without bays. A second Otsu threshold within the outlines gives the regions nearer to the ground: one
    of these is a hole if it clearly has the ground's colour, or if it is round and the two classes are well apart.
    Neither is one if it has more grain than the ground, is long, fills most of its piece, or lies off centre. A hole
    off centre counts as part, which harms less than a lost face: all photos of such parts show it.
    """
    result = whole.copy()
    if not whole.any():
        return result
    box = box_of(whole, 1)
    part, distance = np.ascontiguousarray(whole[box]), ground.distance[box]
    inner, separability = otsu_threshold(distance[part])
    count, pieces, stats, centres = components(part.view(np.uint8))
    rim = cv2.erode(part.view(np.uint8), np.ones((3, 3), np.uint8)) == 0
    smallest = _SMALLEST * np.count_nonzero(part) / max(count - 1, 1)

    def regions(like_ground: np.ndarray) -> Iterator[_Region]:
        for region in _regions(opened(part & like_ground, whole.shape), smallest):
            if not (region.mask & rim[region.at]).any():
                yield region

    def fits(region: _Region) -> bool:
        piece = pieces[region.at][region.mask][0]
        area = float(stats[piece, cv2.CC_STAT_AREA])
        off_centre = float(np.hypot(*(region.centre - centres[piece]))) / np.sqrt(area)
        compact = roundness(region.mask) > _LEAST_ROUNDNESS and region.area <= _LARGEST * area
        return bool(compact and off_centre <= _OFF_CENTRE) and ground.is_plain(
            region.mask, ground.grain[box][region.at]
        )

    def cut(region: _Region, hole: np.ndarray) -> None:
        result[box][region.at] &= ~hole

    for one in regions((distance < _EDGED_DISTANCE * ground.usual) & ~closed(edges, within=box)):
        if solidity(one.mask) > _EDGED_SOLIDITY and fits(one):
            cut(one, cv2.dilate(one.mask.view(np.uint8), np.ones((3, 3), np.uint8)).view(bool))
    for one in regions(distance < inner):
        # A bright streak of the face beside a hole that its edges have shown already.
        if solidity(one.mask) <= _GROWN_SOLIDITY and (one.mask & ~result[box][one.at]).any():
            continue
        same_colour = np.median(distance[one.at][one.mask]) < _GROUND_COLOUR * ground.threshold
        if (same_colour or (separability > _SEPARABILITY and roundness(one.mask) > _ROUNDNESS)) and fits(one):
            cut(one, one.mask)
    return result


@dataclass(frozen=True)
class _Region:
    """Hold a connected region: its place ``at``, with a margin of a pixel, and there its mask, bool (h, w)."""

    at: tuple[slice, slice]
    mask: np.ndarray
    area: int
    centre: np.ndarray  # x and y


def _regions(mask: np.ndarray, smallest: float) -> Iterator[_Region]:
    """Yield the pieces of uint8 ``mask`` (H, W) that have at least ``smallest`` pixels."""
    if cv2.countNonZero(mask) < smallest:
        return
    count, labels, stats, centres = components(mask, 4)
    for label in range(1, count):
        x, y, width, height, area = stats[label].tolist()
        if area >= smallest:
            at = np.s_[max(0, y - 1) : y + height + 1, max(0, x - 1) : x + width + 1]
            yield _Region(at, labels[at] == label, area, centres[label])


def solidity(region: np.ndarray) -> float:
    """Area of a region, bool (H, W), over that of its convex hull: 1 for a disc or a lens, less for a ring."""
    return np.count_nonzero(region) / max(cv2.contourArea(_hull(region)), 1.0)


def roundness(region: np.ndarray) -> float:
    """Area over that of a circle with the perimeter of the region's convex hull; bool (H, W), 1 for a disc."""
    return 4.0 * np.pi * np.count_nonzero(region) / max(cv2.arcLength(_hull(region), True), 1.0) ** 2


def _hull(region: np.ndarray) -> np.ndarray:
    outlines, _ = cv2.findContours(region.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return np.asarray(cv2.convexHull(np.concatenate(outlines)))
