"""Find copies of a photo in a collection: re-encoded, resized or mirrored.

Collections of web photos hold many photos twice. A copy on both sides of a train/test or cross-validation split makes
a model look better than it is, so copies have to stay together. Two photos are near copies if the fine detail of their
64 x 64 grey thumbnails correlates by 0.95 or more under the best of the four flips.

Parts of one kind on one inspection rig correlate as strongly as copies do. So similarity is judged against the
collection's own spread: two photos are copies if 1 minus their correlation is at most a twentieth of their squared
distance from the collection's mean. Web photos have little in common, and for them this is a correlation of 0.95. Parts
on a rig differ from their mean as much as from each other, while copies of one part differ much less
(benchmarks/near_copies.py measures it). Where parts differ in little but their position, neighbours would still chain
to one large group; in such a collection only photos that are the same but for their encoding count as copies.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

NEAR_COPY_SIMILARITY = 0.95  # least correlation of copies in a collection whose photos have nothing in common
# Least correlation of copies in any collection: a new encoding of good quality changes no more.
SAME = 0.9995
# A group of at least this many photos, and of more than half of all, does not consist of copies.
_CROWD = 6
_SAMPLE = 512  # photos that are looked at to find such a group
_SIDE = 64
# Structure coarser than this many thumbnail pixels is shared by all photos of one rig.
_DETAIL_SIGMA = 4.0
# Below this standard deviation, in grey levels, a thumbnail is rounding noise round one grey value.
_CONSTANT_DEVIATION = 0.01
# Rows compared at a time: bounds memory to a few numbers times _BLOCK times the number of images.
_BLOCK = 512


def signature(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute the signature of a photo: fine detail of its 64 x 64 grey thumbnail, mean removed, unit norm.

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
    """Compute the greatest correlation over the four flips: (n, 4096), (m, 4096) -> (n, m) in [-1, 1].

    The zero signature of a constant image has similarity 1 with other zero signatures, and 0 with the rest.
    """
    # Flipping a gives the same correlations as flipping b, which may hold all photos and should not be copied.
    thumbnails = a.reshape(-1, _SIDE, _SIDE)
    best = a @ b.T
    for flipped in (thumbnails[:, :, ::-1], thumbnails[:, ::-1], thumbnails[:, ::-1, ::-1]):
        np.maximum(best, flipped.reshape(a.shape) @ b.T, out=best)
    best[np.ix_(~a.any(axis=1), ~b.any(axis=1))] = 1.0
    return np.clip(best, -1.0, 1.0, out=best)


def copy_groups(signatures: NDArray[np.float32]) -> NDArray[np.int64]:
    """Group signatures (n, 4096) of one collection by the connected components of "near copy of".

    Returns:
        (n,) group numbers from 0, in order of each group's first member.
    """
    return _groups(signatures, _apart(signatures), _is_crowd(signatures))


def _groups(signatures: NDArray[np.float32], apart: NDArray[np.float64], crowd: bool) -> NDArray[np.int64]:
    count = len(signatures)
    labels = np.arange(count)
    for start in range(0, count, _BLOCK):
        # Each photo is compared with itself and later ones only.
        alike = similarity(signatures[start : start + _BLOCK], signatures[start:])
        near = _near(alike, apart[start : start + _BLOCK], apart[start:], crowd)
        rows, columns = np.nonzero(near)
        # Each image is tied to its group so far, so that the edges of earlier blocks need not be kept.
        sources = np.concatenate([rows + start, np.arange(count)])
        targets = np.concatenate([columns + start, labels])
        graph = coo_array((np.ones(len(sources), dtype=bool), (sources, targets)), shape=(count, count))
        labels = _first_members(connected_components(graph, directed=False)[1])
    return np.unique(labels, return_inverse=True)[1]


def is_copy_of(signatures: NDArray[np.float32], reference: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell for each of (n, 4096) signatures whether it is a near copy of one in ``reference`` (m, 4096): bool (n,)."""
    copies = np.zeros(len(signatures), dtype=bool)
    apart, apart_of, crowd = _apart(reference), _apart(reference, signatures), _is_crowd(reference)
    for start in range(0, len(reference), _BLOCK):
        block = reference[start : start + _BLOCK]
        near = _near(similarity(signatures, block), apart_of, apart[start : start + _BLOCK], crowd)
        copies |= near.any(axis=1)
    return copies


def _near(
    alike: NDArray[np.float32], apart: NDArray[np.float64], apart_other: NDArray[np.float64], crowd: bool
) -> NDArray[np.bool_]:
    """Tell which pairs (n, m) are near copies, from their similarity and their squared distances to the mean."""
    differ = 0 if crowd else (apart[:, None] + apart_other) / 2
    return np.asarray((alike >= SAME) | (1 - alike <= (1 - NEAR_COPY_SIMILARITY) * differ))


def _is_crowd(collection: NDArray[np.float32]) -> bool:
    """Tell whether photos of this collection would chain to one large group, so that likeness tells nothing."""
    sample = collection[:: -(-len(collection) // _SAMPLE)] if len(collection) else collection
    if len(sample) < _CROWD:
        return False
    apart = _apart(sample)
    largest, same = (np.bincount(_groups(sample, apart, crowd)).max() for crowd in (False, True))
    return bool(largest >= _CROWD and largest > len(sample) / 2 and largest > same)


def _apart(collection: NDArray[np.float32], photos: NDArray[np.float32] | None = None) -> NDArray[np.float64]:
    """Compute the squared distance of each photo (n, 4096) to the mean of the collection (m, 4096), at most 1: (n,).

    Without ``photos``, each photo of the collection is compared with the mean of the others. With fewer than two other
    photos, return 1.
    """
    own = photos is None
    photos = collection if photos is None else photos
    others = len(collection) - own
    if others < 2:
        return np.ones(len(photos))
    # Sums in single precision copy nothing, and keep a hundred times the digits that are needed.
    total = collection.sum(axis=0)
    length = np.einsum("nd,nd->n", photos, photos).astype(np.float64)
    along = (photos @ total).astype(np.float64)
    # |p - (T - p) / others|^2, or |p - T / others|^2, written out.
    to_rest, rest = (
        (along - length, float(total @ total) - 2 * along + length) if own else (along, float(total @ total))
    )
    return np.asarray(np.minimum(length - 2 * to_rest / others + rest / others**2, 1.0))


def _first_members(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Replace each label by the index of its first occurrence."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return first[inverse]
