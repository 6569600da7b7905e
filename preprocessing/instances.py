"""The single parts of a photo that shows several: connected pieces, and touching parts cut apart at narrow places."""

from __future__ import annotations

import cv2
import numpy as np

from fastener.preprocessing.morphology import filled

# Two basins of the distance from the border are two parts if the pass between them is lower than this part of the lower
# peak: a bolt's head and shank meet in a pass as high as the shank, two discs that touch in a low one.
_PASS = 0.75
_LEVELS = 28
_LEAST_PEAK = 0.25  # of the highest peak of a piece; lower ones are corners and threads
_SMALLEST = 0.02  # of the largest part; smaller pieces are specks


def instances_of(mask: np.ndarray) -> list[np.ndarray]:
    """Separate the parts of bool ``mask`` (h, w): one bool (h, w) each, from top to bottom and left to right.

    Touching parts are cut by the watershed of their distance transform (Vincent and Soille 1991), of whose peaks those
    count between which the pass is low.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    parts: list[np.ndarray] = []
    for label in range(1, count):
        x, y, width, height, _ = stats[label].tolist()
        window = np.s_[max(0, y - 2) : y + height + 2, max(0, x - 2) : x + width + 2]
        piece = labels[window] == label
        basins = _basins(filled(piece))
        for basin in range(1, int(basins.max()) + 1):
            part = np.zeros(mask.shape, bool)
            part[window] = piece & (basins == basin)
            parts.append(part)
    largest = max((int(part.sum()) for part in parts), default=0)
    return [part for part in parts if part.sum() >= _SMALLEST * largest]


def _basins(whole: np.ndarray) -> np.ndarray:
    """Number the parts of one filled piece, bool (h, w): int (h, w), 0 outside."""
    inside = np.pad(whole, 1).astype(np.uint8)
    distance = cv2.GaussianBlur(cv2.distanceTransform(inside, cv2.DIST_L2, 5), (0, 0), 1.0)[1:-1, 1:-1] * whole
    levels = np.linspace(float(distance.max()), 0, _LEVELS + 1)[1:-1]
    peaks = _peaks(distance, levels)
    if len(peaks) < 2:
        return whole.astype(np.int32)
    result = np.zeros(whole.shape, np.int32)
    for number, peak in enumerate(peaks, start=1):
        result[peak] = number
    # Water rises: what a lower level adds belongs to the nearest part above it.
    for level in [*levels, 1e-6]:
        result = np.where(distance >= level, _nearest(result), result)
    return np.where(whole, _nearest(result), 0)


def _peaks(distance: np.ndarray, levels: np.ndarray) -> list[tuple[int, int]]:
    """Find the peaks, row and column, between which every pass is low; the highest first."""
    groups: list[list[tuple[int, int]]] = []
    for level in levels.tolist():
        count, labels = cv2.connectedComponents((distance >= level).astype(np.uint8))
        seen: dict[int, list[list[tuple[int, int]]]] = {}
        for group in groups:
            seen.setdefault(int(labels[group[0]]), []).append(group)
        groups = []
        for label in range(1, count):
            if label in seen:
                groups.append(_met(seen[label], distance, level))
            else:
                row, column = divmod(int(np.where(labels == label, distance, 0).argmax()), distance.shape[1])
                groups.append([(row, column)])
    peaks = [peak for group in groups for peak in group if distance[peak] >= _LEAST_PEAK * distance.max()]
    return sorted(peaks, key=lambda peak: -float(distance[peak]))


def _met(groups: list[list[tuple[int, int]]], distance: np.ndarray, level: float) -> list[tuple[int, int]]:
    """Join groups of peaks, each with its highest first, that meet at a level; a peak hardly above it is dropped."""
    first, *others = sorted(groups, key=lambda group: -float(distance[group[0]]))
    for other in others:
        first = first + (other[1:] if level >= _PASS * distance[other[0]] else other)
    return first


def _nearest(labels: np.ndarray) -> np.ndarray:
    """Give each pixel the label of the labelled pixel nearest to it, int (h, w)."""
    _, index = cv2.distanceTransformWithLabels(
        (labels == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    values = np.zeros(int(index.max()) + 1, np.int32)
    values[index[labels > 0]] = labels[labels > 0]
    return values[index]
