"""Kinds of parts among many, and the numbers of each kind that whole kits have."""

from __future__ import annotations

import string
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from fastener.models.calibration import robust_threshold
from fastener.models.shape.outline import as_complex, as_real, fits

# Differences that count as one: root mean square distance of outlines in parts of the size, logarithm of the size,
# share of the hole, colour in CIELab units, and distance of two histograms of words (Hellinger's, 0 to 1). Outlines
# count as one at least at this many times the usual distance from the nearest one in another photo.
_OUTLINE, _SIZE, _HOLE, _COLOUR, _WORDS = 0.02, 0.08, 0.08, 15.0, 0.5
_USUAL_OUTLINE = 2.0
_OLD_OUTLINE = 0.05  # of files that do not state it
_MOST_ITEMS, _MOST_DIVISIONS = 600, 40
# A kind is steady if this share of healthy photos shows it in one number. Steady kinds hold this share of all parts.
_STEADY, _INSIDE = 0.75, 0.85
# Greatest difference of a clump's area from that of the parts that it should hold: in parts of that, and of the
# smallest part that is missing else.
_TOUCHING, _LACKING = 0.15, 0.6
_USUAL = 0.05  # share of healthy photos from which their numbers are those of a whole kit
_REACH = 1.5
_CUT = 2.5  # a part that was cut off another may lie this many times as far from its kind


@dataclass(frozen=True)
class Item:
    """Describe one part: its outline's curve, complex (n,), the logarithm of its size in photo pixels, and its look."""

    curve: np.ndarray
    size: float
    hole: float  # share of the filled area, 0 to 1
    long: bool
    colour: np.ndarray  # mean CIELab, (3,)
    words: np.ndarray  # shares of the visual words among its patches, (k,); zeros where it shows none
    cut: bool = False  # whether it touched another part and was cut off it


@dataclass(frozen=True)
class Tally:
    """Compare the parts of one photo with a whole kit.

    Attributes
    ----------
    kinds : tuple of int
        Kind of each part; -1 for a part like none of the healthy ones.
    found, expected : tuple of int
        Numbers of parts of each kind, in this photo and in the nearest whole kit.
    odd : tuple of int
        Numbers of the parts that are too many.
    """

    kinds: tuple[int, ...]
    found: tuple[int, ...]
    expected: tuple[int, ...]
    odd: tuple[int, ...]

    @property
    def score(self) -> int:
        """Number of parts that are missing or too many; a swapped part counts twice."""
        missing = sum(max(e - n, 0) for e, n in zip(self.expected, self.found, strict=True))
        return missing + len(self.odd)


class Kit:
    """Learn the kinds of parts and their numbers from photos of whole kits.

    Attributes
    ----------
    items_ : list of Item
        Parts of healthy photos, of at most ``_MOST_ITEMS``.
    outline_ : float
        Distance of outlines that counts as one.
    labels_ : ndarray of int64, (n,)
        Kind of each of them: the finest division whose kinds healthy photos show in steady numbers; -1 for none.
    limit_ : float
        Distance from the nearest healthy part up to which a part is of its kind.
    areas_ : ndarray of float64, (kinds,)
        Median filled area of a part of each kind, in square photo pixels.
    whole_ : ndarray of int64, (m, kinds)
        Numbers of parts of whole kits.
    names_ : tuple of str
        Name of each kind.
    """

    def fit(self, photos: list[list[Item]]) -> np.ndarray:
        """Learn from the parts of healthy photos; return each photo's score beside the others, (n,)."""
        kept = [i for i, _ in enumerate(photos) if sum(len(one) for one in photos[: i + 1]) <= _MOST_ITEMS] or [0]
        self._keep([item for i in kept for item in photos[i]], _OUTLINE)
        owner = np.array([i for i in kept for _ in photos[i]])
        same = owner[:, None] == owner[None]
        outlines = np.where(same, np.inf, np.stack([fits(one, self.curves_)[0] for one in self.curves_]))
        usual = outlines.min(axis=1)
        self.outline_ = (
            max(_OUTLINE, _USUAL_OUTLINE * float(np.median(usual))) if np.isfinite(usual).all() else _OUTLINE
        )
        apart = np.stack([self._distances(item) for item in self.items_])
        self.labels_ = self._divide(apart, owner)
        other = np.where(same, np.inf, apart).min(axis=1)
        seen = other[np.isfinite(other)]
        self.limit_ = max(1.0, _REACH * robust_threshold(seen, 0.01).threshold) if len(seen) > 2 else 1.0
        self.names_ = self._named()
        sizes = np.array([item.size for item in self.items_])
        kinds = range(len(self.names_))
        self.areas_ = np.array([np.exp(2 * np.median(sizes[self.labels_ == kind])) for kind in kinds])
        numbers = [self._numbers([self._kind(item, self._distances(item)) for item in items]) for items in photos]
        votes = Counter(numbers)
        usual = [one for one, count in votes.items() if count >= max(2, _USUAL * len(photos))]
        self.whole_ = np.array(usual or list(votes))
        return np.array([self.tally(items).score for items in photos], float)

    def tally(self, items: list[Item]) -> Tally:
        """Name the kind of each part, and compare their numbers with the nearest whole kit."""
        near = [self._distances(item) for item in items]
        kinds = [self._kind(item, one) for item, one in zip(items, near, strict=True)]
        found = np.array(self._numbers(kinds))
        expected = self.whole_[np.abs(self.whole_ - found).sum(axis=1).argmin()]
        odd = [i for i, kind in enumerate(kinds) if kind < 0]
        missing = np.maximum(expected - found, 0)
        if (found <= expected).all() and self._touch(items, kinds, missing):
            found, odd = found + missing, []
        for kind, more in enumerate((found - expected).tolist()):
            own = sorted((i for i, one in enumerate(kinds) if one == kind), key=lambda i: -float(near[i].min()))
            odd += own[: max(more, 0)]
        return Tally(tuple(kinds), tuple(found.tolist()), tuple(expected.tolist()), tuple(sorted(odd)))

    def _touch(self, items: list[Item], kinds: list[int], missing: np.ndarray) -> bool:
        """Tell whether the ``missing`` parts are there but touch others, and were cut wrongly or not at all.

        Then all that was cut or is of no kind has the area of what is known of it and of the missing parts together. A
        single part of no kind in the place of another that did not touch is no clump.
        """
        clump = [i for i, kind in enumerate(kinds) if items[i].cut or kind < 0]
        if not missing.any() or not (missing.sum() >= 2 or any(items[i].cut for i in clump)):
            return False
        known = [kinds[i] for i in clump if kinds[i] >= 0]
        expected = float(self.areas_[known].sum() + (missing * self.areas_).sum())
        there = float(sum(np.exp(2 * items[i].size) for i in clump))
        # Without the smallest of the missing parts the areas have to differ.
        smallest = float(self.areas_[missing > 0].min())
        return abs(there - expected) <= min(_TOUCHING * expected, _LACKING * smallest)

    def _keep(self, items: list[Item], outline: float) -> None:
        self.items_, self.outline_ = items, outline
        self.curves_: np.ndarray = np.stack([one.curve for one in items])
        self.looks_ = np.stack([_look(one) for one in items])
        self.spectra_ = np.fft.fft(self.curves_, axis=1)

    def _distances(self, item: Item) -> np.ndarray:
        outline = fits(item.curve, self.curves_, self.spectra_)[0] / self.outline_
        return np.asarray(np.sqrt(outline**2 + np.square(self.looks_ - _look(item)).sum(axis=1)))

    def _kind(self, item: Item, apart: np.ndarray) -> int:
        """Kind of a part from its distances; -1 if none is near. Parts that were cut are odd in outline only."""
        limit = self.limit_ * (_CUT if item.cut else 1)
        return int(self.labels_[apart.argmin()]) if apart.min() <= limit else -1

    def _numbers(self, kinds: list[int]) -> tuple[int, ...]:
        return tuple(kinds.count(kind) for kind in range(len(self.names_)))

    def _divide(self, apart: np.ndarray, owner: np.ndarray) -> np.ndarray:
        """Divide parts into the most kinds that healthy photos show in steady numbers; -1 for parts of no such kind.

        If there are none, parts are divided by distance alone.
        """
        if len(apart) < 2:
            return np.zeros(len(apart), np.int64)
        tree = linkage(squareform((apart + apart.T) / 2, checks=False), "average")
        best, most = fcluster(tree, 1.0, "distance"), 0
        for count in range(1, min(_MOST_DIVISIONS, len(apart)) + 1):
            labels = fcluster(tree, count, "maxclust")
            steady = _steady(labels, owner)
            inside = np.isin(labels, steady)
            if len(steady) > most and inside.mean() >= _INSIDE:
                best, most = np.where(inside, labels, 0), len(steady)
        kinds = np.asarray(np.unique(best, return_inverse=True)[1], np.int64) - int((best == 0).any())
        # A part of no steady kind may still be near to one.
        for i in np.flatnonzero(kinds < 0).tolist():
            nearest = int(np.where(best > 0, apart[i], np.inf).argmin())
            kinds[i] = kinds[nearest] if apart[i, nearest] <= 1 else -1
        return kinds

    def _named(self) -> tuple[str, ...]:
        """Name kinds by what they look like; letters tell kinds of one look apart, the largest first."""
        looks = []
        for kind in range(int(self.labels_.max()) + 1):
            own = [item for item, label in zip(self.items_, self.labels_, strict=True) if label == kind]
            share = float(np.mean([item.long for item in own]))
            ring = float(np.median([item.hole for item in own])) > 0.02
            look = "long part" if share > 0.5 else "ring" if ring else "compact part"
            looks.append((look, float(np.median([item.size for item in own]))))
        names = []
        for look, size in looks:
            alike = sorted((other for name, other in looks if name == look), reverse=True)
            names.append(look if len(alike) == 1 else f"{look} {string.ascii_uppercase[alike.index(size)]}")
        return tuple(names)

    def state(self) -> dict[str, Any]:
        """Return arrays and numbers that ``restore`` takes back."""
        looks = [[one.size, one.hole, float(one.long), float(one.cut), *one.colour, *one.words] for one in self.items_]
        return {
            "curves": as_real(self.curves_),
            "parts": np.array(looks),
            "outline": self.outline_,
            "labels": self.labels_,
            "whole": self.whole_,
            "names": list(self.names_),
            "areas": self.areas_,
            "limit": self.limit_,
        }

    def restore(self, state: dict[str, Any]) -> Kit:
        """Take over a saved ``state``, whose arrays may be tensors; return this object."""
        # Earlier files have no words, and know of no part that was cut.
        looks = (
            np.asarray(state["parts"]) if "parts" in state else np.insert(np.asarray(state["looks"]), 3, 0.0, axis=1)
        )
        items = [
            Item(curve, look[0], look[1], bool(look[2]), look[4:7], look[7:], bool(look[3]))
            for curve, look in zip(as_complex(state["curves"]), looks, strict=True)
        ]
        self._keep(items, float(state.get("outline", _OLD_OUTLINE)))
        self.labels_, self.whole_ = np.asarray(state["labels"]), np.asarray(state["whole"])
        self.areas_ = np.asarray(state["areas"])
        self.names_, self.limit_ = tuple(state["names"]), float(state["limit"])
        return self


def _steady(labels: np.ndarray, owner: np.ndarray) -> list[int]:
    """List the labels of which most photos show one number; ``labels`` and ``owner``, (n,), say of which photo."""
    photos = np.unique(owner, return_inverse=True)[1]
    numbers = np.zeros((photos.max() + 1, labels.max() + 1), np.int64)
    np.add.at(numbers, (photos, labels), 1)
    steady = []
    for label in np.unique(labels).tolist():
        usual, count = Counter(numbers[:, label].tolist()).most_common(1)[0]
        if usual > 0 and count >= _STEADY * len(numbers):
            steady.append(int(label))
    return steady


def _look(item: Item) -> np.ndarray:
    # The distance of the roots of two histograms is twice the square of Hellinger's distance.
    words = np.sqrt(item.words / 2) / _WORDS
    return np.array([item.size / _SIZE, item.hole / _HOLE, *(item.colour / _COLOUR), *words])
