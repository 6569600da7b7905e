"""Find copies of a photo in a collection: re-encoded, resized or mirrored.

Collections of web photos hold many photos twice. A copy on both sides of a train/test or cross-validation split makes
a model look better than it is, so copies have to stay together. But parts in one fixture are different parts, however
alike their photos are: a copy is a photo with the same noise, and not of the same scene.

So two photos are suspected if the detail of their 64 x 64 grey thumbnails correlates by 0.95 or more under the best of
the four flips, and are copies if their noise prints (datasets/noise_prints.py) correlate, too. Web photos have little
in common, and for them 0.62 is enough. Photos of one fixture share its edges, so that their noise prints correlate by
up to 0.65; among many photos that suspect each other, a copy has to be closer to 1 than their median pair is, by a
third of the distance. benchmarks/near_copies.py measures both errors.

Thumbnails alone decide for models of earlier versions, which hold nothing else, and in scenes of so much fine structure
that the median pair correlates by more than 0.8: two photos are copies if 1 minus their correlation is at
most a twentieth of their squared distance from the collection's mean; where photos would chain to one large group, only
photos that are the same but for their encoding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fastener.common.sampling import evenly
from fastener.datasets.noise_prints import noise_print, sameness

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
# Numbers of a signature that are the thumbnail; the noise print follows.
_DETAIL = _SIDE * _SIDE
SAME_NOISE = 0.62  # least correlation of the noise prints of copies
# Photos of one scene: at least so many, and this share of the collection, suspect each other.
_SCENE, _SCENE_SHARE = 3, 0.2
_CERTAIN_SCENE = 12  # so many photos that suspect each other are no copies of one photo, whatever their share is
_CLOSER = 0.35  # part of the way from the median pair of one scene to 1 that a copy has to go
_LEAST_OF_SCENE = 0.45
_MOST_SHARED = 0.8  # structure, or copies only, of which noise prints tell nothing
_PAIRS_OF = 64  # photos of a scene whose pairs are looked at
# Rows compared at a time: bounds memory to a few numbers times _BLOCK times the number of images.
_BLOCK = 512


def signature(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute the signature of a photo: the detail of its thumbnail, and its noise print.

    The detail is the 64 x 64 grey thumbnail without its coarse structure, mean removed, unit norm, row by row; zeros
    for an image of one grey value.

    Args:
        image: RGB, (H, W, 3), 0 to 255.

    Returns:
        (4096 + 9216,).
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.concatenate([_detail(grey), noise_print(grey)])


def _detail(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    thumbnail = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    detail = (thumbnail - cv2.GaussianBlur(thumbnail, (0, 0), _DETAIL_SIGMA, borderType=cv2.BORDER_REFLECT)).ravel()
    centred = detail - detail.mean()
    norm = np.linalg.norm(centred)
    if norm < _CONSTANT_DEVIATION * _SIDE:
        return np.zeros(_SIDE * _SIDE, dtype=np.float32)
    return np.asarray(centred / norm, dtype=np.float32)


def similarity(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the greatest correlation of thumbnails over the four flips, of n and m signatures: (n, m) in [-1, 1].

    The zeros of a constant image have similarity 1 with those of others, and 0 with the rest.
    """
    a, b = a[:, :_DETAIL], b[:, :_DETAIL]
    # Flipping a gives the same correlations as flipping b, which may hold all photos and should not be copied.
    thumbnails = a.reshape(-1, _SIDE, _SIDE)
    best = a @ b.T
    for flipped in (thumbnails[:, :, ::-1], thumbnails[:, ::-1], thumbnails[:, ::-1, ::-1]):
        np.maximum(best, flipped.reshape(a.shape) @ b.T, out=best)
    best[np.ix_(~a.any(axis=1), ~b.any(axis=1))] = 1.0
    return np.clip(best, -1.0, 1.0, out=best)


def copy_groups(signatures: NDArray[np.float32]) -> NDArray[np.int64]:
    """Group n signatures of one collection by the connected components of "copy of".

    Returns:
        (n,) group numbers from 0, in order of each group's first member.
    """
    rule = _Rule.of(signatures)

    def near(first: slice, second: slice) -> NDArray[np.bool_]:
        return _copies(signatures[first], rule.at(first), signatures[second], rule.at(second))

    return np.unique(_components(signatures, near), return_inverse=True)[1]


@dataclass(frozen=True)
class _Rule:
    """What makes a copy of each of n photos.

    Attributes
    ----------
    least : ndarray, (n,)
        Least correlation of noise prints; NaN where the thumbnails decide, as noise prints cannot.
    apart : ndarray, (n,)
        Squared distance of the thumbnail from the mean of its scene.
    crowd : ndarray of bool, (n,)
        Whether thumbnails of its scene would chain to one large group.
    """

    least: NDArray[np.float64]
    apart: NDArray[np.float64]
    crowd: NDArray[np.bool_]

    @classmethod
    def of(cls, collection: NDArray[np.float32]) -> _Rule:
        """Find the rule for each photo of a collection."""
        count = len(collection)
        details = collection[:, :_DETAIL]
        if collection.shape[-1] == _DETAIL:  # of a model of an earlier version
            return cls(np.full(count, np.nan), _apart(details), np.full(count, _is_crowd(details)))
        rule = cls(np.full(count, SAME_NOISE), np.ones(count), np.zeros(count, bool))
        for members in _members(_components(collection, lambda a, b: _suspected(collection[a], collection[b]))):
            if len(members) < min(_CERTAIN_SCENE, max(_SCENE, _SCENE_SHARE * count)):
                continue
            shared = _shared(collection[members[evenly(len(members), _PAIRS_OF)]])
            if shared <= _MOST_SHARED:
                rule.least[members] = max(_LEAST_OF_SCENE, shared + _CLOSER * (1 - shared))
            else:
                rule.least[members] = np.nan
                rule.apart[members] = _apart(details[members])
                rule.crowd[members] = _is_crowd(details[members])
        return rule

    def at(self, place: slice) -> _Rule:
        """Take the rule for some of the photos."""
        return _Rule(self.least[place], self.apart[place], self.crowd[place])


def _suspected(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(similarity(a, b) >= NEAR_COPY_SIMILARITY)


def _shared(photos: NDArray[np.float32]) -> float:
    """Measure how much the noise prints of the median pair of one scene correlate; 1 without noise."""
    same = sameness(photos[:, _DETAIL:], photos[:, _DETAIL:])[np.triu(_suspected(photos, photos), 1)]
    return float(np.nanmedian(same)) if np.isfinite(same).any() else 1.0


def _copies(a: NDArray[np.float32], rule_a: _Rule, b: NDArray[np.float32], rule_b: _Rule) -> NDArray[np.bool_]:
    """Tell which pairs of n and m photos are copies: bool (n, m)."""
    alike = similarity(a, b)
    by_thumbnail = _near(alike, rule_a.apart, rule_b.apart, rule_a.crowd[:, None] | rule_b.crowd)
    least = np.fmax(rule_a.least[:, None], rule_b.least)
    suspected = (alike >= NEAR_COPY_SIMILARITY) & ~(np.isnan(rule_a.least)[:, None] | np.isnan(rule_b.least))
    rows, columns = np.flatnonzero(suspected.any(axis=1)), np.flatnonzero(suspected.any(axis=0))
    copies = by_thumbnail & ~suspected
    if len(rows) and a.shape[-1] > _DETAIL and b.shape[-1] > _DETAIL:
        cells = np.ix_(rows, columns)
        same = sameness(a[rows, _DETAIL:], b[columns, _DETAIL:])
        # Photos without noise, such as drawings, are copies if their thumbnails are the same.
        confirmed = np.where(np.isnan(same), alike[cells] >= SAME, same >= least[cells])
        copies[cells] |= confirmed & suspected[cells]
    return copies


def _members(labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """List the indices of each label."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(labels) else []


def _components(
    signatures: NDArray[np.float32], near: Callable[[slice, slice], NDArray[np.bool_]]
) -> NDArray[np.int64]:
    """Label the connected components of ``near``, which tells for two slices which pairs are tied: (n,)."""
    # Slow to import, and needed in training only.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(signatures)
    labels = np.arange(count)
    for start in range(0, count, _BLOCK):
        # Each photo is compared with itself and later ones only.
        rows, columns = np.nonzero(near(slice(start, start + _BLOCK), slice(start, count)))
        # Each image is tied to its group so far, so that the edges of earlier blocks need not be kept.
        sources = np.concatenate([rows + start, np.arange(count)])
        targets = np.concatenate([columns + start, labels])
        graph = coo_array((np.ones(len(sources), dtype=bool), (sources, targets)), shape=(count, count))
        labels = _first_members(connected_components(graph, directed=False)[1])
    return labels


def is_copy_of(signatures: NDArray[np.float32], reference: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell for each of n signatures whether it is a copy of one of the m in ``reference``: bool (n,)."""
    copies = np.zeros(len(signatures), dtype=bool)
    rule, details = _Rule.of(reference), signatures[:, :_DETAIL]
    apart = _apart(reference[:, :_DETAIL], details)
    own = _Rule(np.full(len(signatures), -1.0), apart, np.zeros(len(signatures), bool))
    for start in range(0, len(reference), _BLOCK):
        block = slice(start, start + _BLOCK)
        copies |= _copies(signatures, own, reference[block], rule.at(block)).any(axis=1)
    return copies


def _near(
    alike: NDArray[np.float32],
    apart: NDArray[np.float64],
    apart_other: NDArray[np.float64],
    crowd: NDArray[np.bool_] | bool,
) -> NDArray[np.bool_]:
    """Tell which pairs (n, m) are near copies, from their similarity and their squared distances to the mean."""
    differ = np.where(crowd, 0, (apart[:, None] + apart_other) / 2)
    return np.asarray((alike >= SAME) | (1 - alike <= (1 - NEAR_COPY_SIMILARITY) * differ))


def _is_crowd(collection: NDArray[np.float32]) -> bool:
    """Tell whether photos of this collection would chain to one large group, so that likeness tells nothing."""
    sample = collection[:: -(-len(collection) // _SAMPLE)] if len(collection) else collection
    if len(sample) < _CROWD:
        return False
    apart = _apart(sample)

    def largest_if(crowd: bool) -> int:
        def near(a: slice, b: slice) -> NDArray[np.bool_]:
            return _near(similarity(sample[a], sample[b]), apart[a], apart[b], crowd)

        return int(np.bincount(_components(sample, near)).max())

    largest, same = largest_if(False), largest_if(True)
    return bool(largest >= _CROWD and largest > len(sample) / 2 and largest > same)


def _apart(collection: NDArray[np.float32], photos: NDArray[np.float32] | None = None) -> NDArray[np.float64]:
    """Compute the squared distance of each photo (n, d) to the mean of the collection (m, d), at most 1: (n,).

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
