"""Where the part is: what differs in colour from the background along the photo's border, or has a sharp outline."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fastener.preprocessing.edges import sharp_edges
from fastener.preprocessing.faces import with_faces
from fastener.preprocessing.holes import Ground, cut_holes
from fastener.preprocessing.morphology import closed, components, filled, mended, opened, with_faint_bays
from fastener.preprocessing.otsu import otsu_threshold

# Colour distances are in CIELab units, lengths in parts of a side, areas in parts of the photo where nothing else
# is said.
#
# Beyond the greatest distance a pixel is no background whatever. Without the limit very dark spots pull the
# threshold up, and the light faces of reflective metal are lost on a light ground.
_MAX_DISTANCE = 60.0
_MIN_THRESHOLD = 10.0
_RING = 0.04
_ENOUGH = 10_000  # pixels of the border, evenly taken, that three numbers a channel are fitted to
_MIN_AREA, _MAX_AREA = 0.001, 0.9
# A background that varies by more than this part of the threshold is texture: what differs from it is no part.
_MAX_UNREST = 0.3
# From these many medians of the border, and this distance, on a pixel differs from the ground, if only by a shadow.
_FAINT, _LEAST_FAINT = 6.0, 4.0
COMPARABLE = 0.2  # pieces at least this large beside the largest are parts too
# A piece this many times longer along the photo's border than deep is an edge of the ground.
_STRIP = 2.5
_MAX_BAR = 0.15
_BAR_DISTANCE = 12.0


@dataclass(frozen=True)
class Part:
    """The part in a photo: bool ``mask`` (H, W), of how many separate pieces, and whether one was found at all.

    When none was found the mask covers the whole photo and ``pieces`` is 0.
    """

    mask: np.ndarray
    pieces: int
    found: bool


def find_part(photo: np.ndarray, smallest_piece: float = COMPARABLE) -> Part:
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
    threshold = max(otsu_threshold(distance[top:bottom])[0], _MIN_THRESHOLD)
    mask = _parts(_tidy(distance > threshold, edges), (top, bottom), smallest_piece)
    usual = float(np.median(distance[top:bottom][border]))
    faint = max(_FAINT * usual, _LEAST_FAINT)
    ring = np.zeros((height, width), bool)
    ring[top:bottom] = border
    mask = with_faint_bays(filled(mended(mask)), distance > faint)
    mask = with_faces(mask, lab[..., 0], distance, usual, threshold)
    mask = cut_holes(mask, Ground(distance, lab[..., 0], ring, threshold, usual), edges)
    ground = ~mask[top:bottom]
    size = np.count_nonzero(ground)
    unrest = np.count_nonzero(ground & (distance[top:bottom] > _MAX_UNREST * threshold))
    share = np.count_nonzero(mask) / mask.size
    if not _MIN_AREA <= share <= _MAX_AREA or size == 0 or 2 * unrest > size:
        return Part(np.ones((height, width), bool), 0, False)
    return Part(mask, cv2.connectedComponents(mask.view(np.uint8), ltype=cv2.CV_32S)[0] - 1, True)


def background_distance(lab: np.ndarray) -> np.ndarray:
    """Colour distance, float32 (H, W), of each pixel from the background, capped.

    ``lab`` is float32 CIELab (H, W, 3). The background is a plane over the photo, per channel, fitted to the
    border with outliers trimmed: grounds are lit unevenly, and parts may be cut off by the frame.
    """
    height, width = lab.shape[:2]
    rows, cols = np.nonzero(_border(height, width))
    step = len(rows) // _ENOUGH + 1
    rows, cols = rows[::step], cols[::step]
    design = np.stack([np.ones(len(rows)), cols / width - 0.5, rows / height - 0.5])
    colours = lab[rows, cols].T.astype(np.float64)
    gap = _lengths(colours - np.median(colours, axis=1, keepdims=True))
    for _ in range(4):
        near = (gap <= max(2.5 * float(np.median(gap)), 3.0)).astype(np.float64)
        # The normal equations: products of three rows of thousands of pixels, too few for BLAS's threads.
        weighed = design * near
        squares, products = np.einsum("in,jn->ij", weighed, design), np.einsum("in,cn->ic", weighed, colours)
        planes = np.linalg.lstsq(squares, products, rcond=None)[0]
        gap = _lengths(colours - np.einsum("ic,in->cn", planes, design))
    x = np.arange(width, dtype=np.float32)[None, :] / width - 0.5
    y = np.arange(height, dtype=np.float32)[:, None] / height - 0.5
    squared = np.zeros((height, width), np.float32)
    # One channel at a time, and in place: the memory that whole photos take costs more than the arithmetic.
    for number, (level, across, down) in enumerate(planes.T.astype(np.float32)):
        off = x * across + (y * down + level)
        off = cv2.subtract(cv2.extractChannel(lab, number), off, dst=off)
        cv2.accumulateSquare(off, squared)
    return np.minimum(np.sqrt(squared, out=squared), _MAX_DISTANCE, out=squared)


def _lengths(vectors: np.ndarray) -> np.ndarray:
    """Length of each column of ``vectors`` (k, n): (n,)."""
    return np.asarray(np.sqrt(np.einsum("kn,kn->n", vectors, vectors)))


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
    apart = lab[: deepest + 4] - bar
    off = (np.einsum("ijk,ijk->ij", apart, apart) > _BAR_DISTANCE**2).mean(axis=1)
    for end in range(2, deepest + 1):
        # Behind a bar the colour has changed along the whole row; behind plain ground only where the part is.
        if off[end - 2] < 0.2 and off[end + 1 : end + 4].min() > 0.9 and off[:end].mean() < 0.4:
            return end
    return 0


def _tidy(differs: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """What differs or is enclosed by edges, without specks, and without edges that enclose nothing."""
    differs = opened(differs) > 0
    whole = filled(closed(differs | edges))
    # An edge is as wide as a pixel, and lies half outside of what it encloses.
    inside = cv2.erode(whole.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return opened(inside | differs) > 0


def _parts(mask: np.ndarray, picture: tuple[int, int], smallest: float) -> np.ndarray:
    """Keep the largest connected piece within the rows of the picture, and those of at least ``smallest`` of its area.

    Pieces that lie along the picture's border, much longer there than deep, are edges of the ground, no parts.
    """
    solid = mask[picture[0] : picture[1]]
    height, width = solid.shape
    count, labels, stats, _ = components(solid.view(np.uint8))
    right = stats[:, cv2.CC_STAT_LEFT] + stats[:, cv2.CC_STAT_WIDTH]
    bottom = stats[:, cv2.CC_STAT_TOP] + stats[:, cv2.CC_STAT_HEIGHT]
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    for line, depth in (
        (labels[:, 0], right),
        (labels[:, -1], width - stats[:, cv2.CC_STAT_LEFT]),
        (labels[0], bottom),
        (labels[-1], height - stats[:, cv2.CC_STAT_TOP]),
    ):
        areas[np.bincount(line, minlength=count) >= _STRIP * depth] = 0
    kept = np.zeros(mask.shape, bool)
    kept[picture[0] : picture[1]] = ((areas >= smallest * areas.max()) & (areas > 0))[labels]
    return kept
