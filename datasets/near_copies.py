"""Copies of a photo among others, re-encoded, resized or mirrored.

Collections of web photos hold many photos twice. A copy on both sides of a train/test or cross-validation split makes
a model look better than it is, so copies have to stay together. Two photos are near copies if the fine detail of their
64 x 64 grey thumbnails correlates by 0.95 or more under the best of the four flips.

Plain 16 x 16 thumbnails find the same copies among web photos, but take every part photographed in one pose on one
inspection rig for a copy of the next. Fine detail tells those apart, and survives re-encoding
(benchmarks/near_copies.py measures both).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

NEAR_COPY_SIMILARITY = 0.95
_SIDE = 64
# Structure coarser than this many thumbnail pixels is shared by all photos of one rig.
_DETAIL_SIGMA = 4.0
# Below this standard deviation, in grey levels, a thumbnail is rounding noise round one grey value.
_CONSTANT_DEVIATION = 0.01
# Rows compared at a time: bounds memory to a few numbers times _BLOCK times the number of images.
_BLOCK = 512


def signature(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Detail of the area-averaged 64 x 64 grey thumbnail (less its Gaussian blur), mean removed, unit norm.

    Args:
        image: RGB, (H, W, 3), 0 to 255.

    Returns:
        (4096,), row by row; the zero vector for an image of one grey value.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    thumbnail = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    detail = (thumbnail - cv2.GaussianBlur(thumbnail, (0, 0), _DETAIL_SIGMA, borderType=cv2.BORDER_REFLECT)).ravel()
    centred = detail - detail.mean()
    norm = np.linalg.norm(centred)
    if norm < _CONSTANT_DEVIATION * _SIDE:
        return np.zeros(_SIDE * _SIDE, dtype=np.float32)
    return np.asarray(centred / norm, dtype=np.float32)


def similarity(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Greatest correlation over no flip, horizontal, vertical and both: (n, 4096), (m, 4096) -> (n, m) in [-1, 1].

    The zero signature of a constant image has similarity 1 with its like and 0 with all others.
    """
    # A flip of one has the same correlations as that of the other; b may be all photos there are, and is not copied.
    thumbnails = a.reshape(-1, _SIDE, _SIDE)
    best = a @ b.T
    for flipped in (thumbnails[:, :, ::-1], thumbnails[:, ::-1], thumbnails[:, ::-1, ::-1]):
        np.maximum(best, flipped.reshape(a.shape) @ b.T, out=best)
    best[np.ix_(~a.any(axis=1), ~b.any(axis=1))] = 1.0
    return np.clip(best, -1.0, 1.0, out=best)


def copy_groups(signatures: NDArray[np.float32]) -> NDArray[np.int64]:
    """Group signatures (n, 4096) by the connected components of "near copy of".

    Returns:
        (n,) group numbers from 0, in order of each group's first member.
    """
    count = len(signatures)
    labels = np.arange(count)
    for start in range(0, count, _BLOCK):
        # Of two photos the earlier one looks for the later.
        near = similarity(signatures[start : start + _BLOCK], signatures[start:]) >= NEAR_COPY_SIMILARITY
        rows, columns = np.nonzero(near)
        # Each image is tied to its group so far, so that the edges of earlier blocks need not be kept.
        sources = np.concatenate([rows + start, np.arange(count)])
        targets = np.concatenate([columns + start, labels])
        graph = coo_array((np.ones(len(sources), dtype=bool), (sources, targets)), shape=(count, count))
        labels = _first_members(connected_components(graph, directed=False)[1])
    return np.unique(labels, return_inverse=True)[1]


def is_copy_of(signatures: NDArray[np.float32], reference: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether each of (n, 4096) is a near copy of any of the reference signatures (m, 4096): (n,)."""
    copies = np.zeros(len(signatures), dtype=bool)
    for start in range(0, len(reference), _BLOCK):
        block = reference[start : start + _BLOCK]
        copies |= (similarity(signatures, block) >= NEAR_COPY_SIMILARITY).any(axis=1)
    return copies


def _first_members(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Replace each label by the index of its first occurrence."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return first[inverse]
