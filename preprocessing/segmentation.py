"""Where the part is: what differs in colour from the background along the photo's border, or has a sharp outline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from fastener.preprocessing.edges import sharp_edges

# Colour distances are in CIELab units, lengths in parts of a side, areas in parts of the photo where nothing else
# is said.
#
# Beyond the greatest distance a pixel is no background whatever. Without the limit very dark spots pull the
# threshold up, and the light faces of reflective metal are lost on a light ground.
_MAX_DISTANCE = 60.0
_MIN_THRESHOLD = 10.0
_RING = 0.04
_MIN_AREA, _MAX_AREA = 0.001, 0.9
# A background that varies by more than this part of the threshold is texture: what differs from it is no part.
_MAX_UNREST = 0.3
# Pieces at least this large beside the largest are parts too.
_COMPARABLE = 0.2
# A piece this many times longer along the photo's border than deep is an edge of the ground.
_STRIP = 2.5
# Gaps in an outline up to twice this wide are closed.
_GAP = 0.01
# Holes: least area in parts of a piece; median distance, in parts of the threshold, of the ground's own colour;
# greatest distance, in medians of the border, within edges, and least share of the convex hull; separability and
# roundness of a hole that shows the ground dimly.
_SMALL_HOLE = 0.03
_GROUND_COLOUR = 0.25
_GROUND_NOISE = 6.0
_HOLE_SOLIDITY = 0.85
_HOLE_SEPARABILITY = 0.75
_HOLE_ROUNDNESS = 0.8
_MAX_BAR = 0.15
_BAR_DISTANCE = 12.0
_OTSU_BINS = 256


@dataclass(frozen=True)
class Part:
    """The part in a photo: bool ``mask`` (H, W), of how many separate pieces, and whether one was found at all.

    When none was found the mask covers the whole photo and ``pieces`` is 0.
    """

    mask: np.ndarray
    pieces: int
    found: bool


def find_part(photo: np.ndarray) -> Part:
    """Separate the part, or several of comparable size, from the background of a uint8 RGB photo (H, W, 3).

    The background colour comes from the border (so light parts on dark ground work like dark parts on light
    ground), the threshold from Otsu (1979). Rust on light metal draws that threshold to itself; the metal between is
    found by its outline, which closed edges complete. Masks take memory and time in proportion to the pixels: give a
    copy shrunk to some 800 px.
    """
    height, width = photo.shape[:2]
    lab = cv2.cvtColor(photo.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    top, bottom = caption_bars(lab)
    distance, edges = np.zeros((height, width), np.float32), np.zeros((height, width), bool)
    border = _border(bottom - top, width)
    distance[top:bottom] = background_distance(lab[top:bottom])
    edges[top:bottom] = sharp_edges(lab[top:bottom], border)
    picture = np.zeros((height, width), bool)
    picture[top:bottom] = True
    threshold = max(otsu_threshold(distance[picture])[0], _MIN_THRESHOLD)
    mask = _tidy(picture & (distance > threshold), edges)
    mask[top:bottom] = _without_strips(mask[top:bottom])
    mask = _comparable_pieces(mask)
    like_ground = distance < _GROUND_NOISE * np.median(distance[top:bottom][border])
    mask = _cut_holes(mask, distance, threshold, like_ground & ~_closed(edges))
    ground = distance[picture & ~mask]
    if not _MIN_AREA <= mask.mean() <= _MAX_AREA or ground.size == 0 or np.median(ground) > _MAX_UNREST * threshold:
        return Part(np.ones((height, width), bool), 0, False)
    return Part(mask, cv2.connectedComponents(mask.astype(np.uint8))[0] - 1, True)


def otsu_threshold(values: np.ndarray) -> tuple[float, float]:
    """The threshold that best separates two classes of float ``values``, and its separability (Otsu, 1979).

    Maximises the variance between the classes (eq. 14 and 18) over the edges of 256 bins; the separability is
    its share in the whole variance (eta, eq. 12), 0 to 1. Equal values have separability 0.
    """
    values = values.ravel().astype(np.float64)
    if values.size == 0 or values.min() == values.max():
        return (float(values[0]) if values.size else 0.0), 0.0
    low, width = values.min(), np.ptp(values) / _OTSU_BINS
    bins = np.minimum((values - low) / width, _OTSU_BINS - 1).astype(np.intp)
    weight = np.cumsum(np.bincount(bins, minlength=_OTSU_BINS))[:-1] / values.size
    moment = np.cumsum(np.bincount(bins, weights=values, minlength=_OTSU_BINS))[:-1] / values.size
    between = (values.mean() * weight - moment) ** 2 / (weight * (1.0 - weight))
    best = int(np.argmax(between))
    return float(low + (best + 1) * width), float(between[best] / values.var())


def background_distance(lab: np.ndarray) -> np.ndarray:
    """Colour distance, float32 (H, W), of each pixel from the background, capped.

    ``lab`` is float32 CIELab (H, W, 3). The background is a plane over the photo, per channel, fitted to the
    border with outliers trimmed: grounds are lit unevenly, and parts may be cut off by the frame.
    """
    height, width = lab.shape[:2]
    rows, cols = np.nonzero(_border(height, width))
    design = np.stack([np.ones(len(rows)), cols / width - 0.5, rows / height - 0.5], axis=1)
    colours = lab[rows, cols].astype(np.float64)
    gap = np.linalg.norm(colours - np.median(colours, axis=0), axis=1)
    for _ in range(4):
        near = gap <= max(2.5 * float(np.median(gap)), 3.0)
        planes = np.linalg.lstsq(design[near], colours[near], rcond=None)[0]
        gap = np.linalg.norm(colours - design @ planes, axis=1)
    x = np.arange(width, dtype=np.float32)[None, :] / width - 0.5
    y = np.arange(height, dtype=np.float32)[:, None] / height - 0.5
    squared = np.zeros((height, width), np.float32)
    for channel, (level, across, down) in zip(cv2.split(lab), planes.T.astype(np.float32), strict=True):
        squared += (channel - (x * across + (y * down + level))) ** 2
    return np.minimum(np.sqrt(squared), _MAX_DISTANCE)


def _border(height: int, width: int) -> np.ndarray:
    ring = max(2, round(_RING * min(height, width)))
    border = np.ones((height, width), bool)
    border[ring : height - ring, ring : width - ring] = False
    return border


def caption_bars(lab: np.ndarray) -> tuple[int, int]:
    """First and end row of the picture proper, without plain caption bars along the top or the bottom.

    ``lab`` is float32 CIELab (H, W, 3). A bar is a run of rows from the edge, most of each row in one colour, that
    ends in a sharp step all along the width.
    """
    return _bar_height(lab), lab.shape[0] - _bar_height(lab[::-1])


def _bar_height(lab: np.ndarray) -> int:
    deepest = round(_MAX_BAR * lab.shape[0])
    bar = np.median(lab[0], axis=0)
    off = (np.linalg.norm(lab[: deepest + 4] - bar, axis=2) > _BAR_DISTANCE).mean(axis=1)
    for end in range(2, deepest + 1):
        # Behind a bar the colour has changed along the whole row; behind plain ground only where the part is.
        if off[end - 2] < 0.2 and off[end + 1 : end + 4].min() > 0.9 and off[:end].mean() < 0.4:
            return end
    return 0


def _tidy(differs: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """What differs or is enclosed by edges, without specks, and without edges that enclose nothing."""
    differs = _opened(differs) > 0
    whole = _filled(_closed(differs | edges))
    # An edge is as wide as a pixel, and lies half outside of what it encloses.
    inside = cv2.erode(whole.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return _opened(inside | differs) > 0


def _closed(mask: np.ndarray) -> np.ndarray:
    reach = max(1, round(_GAP * max(mask.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    # Beyond the photo there is nothing: without a margin closing would join what is near its border to that.
    wider = np.pad(mask.astype(np.uint8), reach)
    return cv2.morphologyEx(wider, cv2.MORPH_CLOSE, disc)[reach:-reach, reach:-reach] > 0


def _filled(mask: np.ndarray) -> np.ndarray:
    """All that the outlines of bool ``mask`` (H, W) enclose."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    whole = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(whole, contours, -1, 1, cv2.FILLED)
    return whole > 0


def _opened(mask: np.ndarray) -> np.ndarray:
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, _disc(mask.shape))


def _disc(shape: tuple[int, ...]) -> np.ndarray:
    side = max(3, 2 * round(0.003 * max(shape)) + 1)
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))


def _without_strips(mask: np.ndarray) -> np.ndarray:
    """Drop pieces that lie along the photo's border, much longer there than deep: edges of the ground, not parts."""
    height, width = mask.shape
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    keep = np.ones(count, bool)
    keep[0] = False
    right = stats[:, cv2.CC_STAT_LEFT] + stats[:, cv2.CC_STAT_WIDTH]
    bottom = stats[:, cv2.CC_STAT_TOP] + stats[:, cv2.CC_STAT_HEIGHT]
    for line, depth in (
        (labels[:, 0], right),
        (labels[:, -1], width - stats[:, cv2.CC_STAT_LEFT]),
        (labels[0], bottom),
        (labels[-1], height - stats[:, cv2.CC_STAT_TOP]),
    ):
        keep &= np.bincount(line, minlength=count) < _STRIP * depth
    return keep[labels]


def _comparable_pieces(mask: np.ndarray) -> np.ndarray:
    """The largest connected piece and those not much smaller."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count == 1:
        return mask
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    return (areas >= _COMPARABLE * areas.max())[labels] & mask


def _cut_holes(mask: np.ndarray, distance: np.ndarray, threshold: float, like_ground: np.ndarray) -> np.ndarray:
    """Fill all that the outlines enclose, then cut out the through holes.

    Reflections look like the ground, and the ground in a deep hole is dim, so neither follows from one threshold.
    What looks like the ground within an unbroken edge, bool ``like_ground`` (H, W), is a hole if it is of one piece
    without bays. A second Otsu threshold within the outlines gives the regions nearer to the ground: one of these is
    a hole if it clearly has the ground's colour, or if it is round and the two classes are well apart.
    """
    whole = _filled(mask)
    inner, separability = otsu_threshold(distance[whole])
    rim = cv2.erode(whole.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
    smallest = _SMALL_HOLE * whole.sum() / max(cv2.connectedComponents(whole.astype(np.uint8))[0] - 1, 1)
    filled = whole.copy()
    for hole in _regions(whole & like_ground, smallest, rim):
        if solidity(hole) > _HOLE_SOLIDITY:
            filled &= ~cv2.dilate(hole.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    for hole in _regions(whole & (distance < inner), smallest, rim):
        ground = np.median(distance[hole]) < _GROUND_COLOUR * threshold
        if ground or (separability > _HOLE_SEPARABILITY and roundness(hole) > _HOLE_ROUNDNESS):
            filled &= ~hole
    return filled


def _regions(mask: np.ndarray, smallest: float, rim: np.ndarray) -> Iterator[np.ndarray]:
    """The pieces of ``mask``, bool (H, W) each, of at least ``smallest`` pixels that do not touch ``rim``."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(_opened(mask), connectivity=4)
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
