"""Work on connected places of a frame: large ones, those that touch others, and those with sharp edges."""

from __future__ import annotations

import cv2
import numpy as np

# A shadow or a reflection fades, while a patch ends: its lightness changes by a limit within this share of the frame.
# The change is smoothed by the second share.
EDGE_WIDTH, EDGE_SMOOTHING = 0.0145, 0.005
# A patch is at least this large, as a share of the part; what is smaller is a speck.
_PATCH = 0.002
# Gaps within deposit, or within threads, that are narrower than this share of the frame belong to it.
_GAP = 0.007


def square(half: float) -> np.ndarray:
    """Return a square of ones that reaches ``half`` pixels from its centre, at least one: uint8 (n, n)."""
    side = 2 * max(1, round(half)) + 1
    return np.ones((side, side), np.uint8)


def steepness(lightness: np.ndarray) -> np.ndarray:
    """Measure how fast a lightness or its change varies, in L* per side of the frame: float32 (h, w)."""
    side = max(lightness.shape)
    smooth = cv2.GaussianBlur(lightness.astype(np.float32), (0, 0), EDGE_SMOOTHING * side)
    return np.asarray(cv2.magnitude(*slopes(smooth)) * side)


def slopes(image: np.ndarray) -> np.ndarray:
    """Measure how much an image rises per pixel to the right, and downwards: float32 (2, h, w)."""
    return np.stack([cv2.Sobel(image, cv2.CV_32F, 1, 0), cv2.Sobel(image, cv2.CV_32F, 0, 1)]) / 8.0


def labelled(places: np.ndarray) -> tuple[int, np.ndarray]:
    """Number the connected places of a bool (h, w): how many labels, with 0 for the rest, and int32 (h, w)."""
    count, labels = cv2.connectedComponents(places.astype(np.uint8), connectivity=8)
    return count, labels


def edge_shares(labels: np.ndarray, count: int, which: np.ndarray) -> np.ndarray:
    """Return, for each of ``count`` labels, the share of its edge at which ``which``, bool (h, w), holds: (count,)."""
    around = cv2.dilate(labels.astype(np.float32), square(2.0)).astype(np.int32)
    edge = (around > 0) & (cv2.erode((labels > 0).astype(np.uint8), square(1.0)) == 0)
    total = np.bincount(around[edge], minlength=count)
    return np.asarray(np.bincount(around[edge & which], minlength=count) / np.maximum(total, 1))


def means(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Average ``image`` over the places of each label: float64 (n,)."""
    total = np.bincount(labels.ravel())
    return np.asarray(np.bincount(labels.ravel(), image.ravel()) / np.maximum(total, 1))


def patches(places: np.ndarray, part: int) -> np.ndarray:
    """Keep the connected places that cover at least 0.2 % of ``part`` pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(places.astype(np.uint8), connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] >= _PATCH * part
    large[0] = False
    return np.asarray(large[labels])


def closed(places: np.ndarray) -> np.ndarray:
    """Fill the narrow gaps of a bool (h, w)."""
    filled = cv2.morphologyEx(places.astype(np.uint8), cv2.MORPH_CLOSE, square(_GAP * max(places.shape)))
    return np.asarray(filled > 0)


def reached(seeds: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Keep the connected ``places`` that touch a seed."""
    count, labels = labelled(places | seeds)
    keep = np.zeros(count, bool)
    keep[np.unique(labels[seeds])] = True
    keep[0] = False
    return np.asarray(keep[labels])
