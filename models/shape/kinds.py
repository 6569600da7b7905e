"""Kinds of parts among many, and the numbers of each kind that whole kits have."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from fastener.common.sampling import evenly
from fastener.models.calibration import robust_threshold
from fastener.models.shape.clumps import Moulds, shared
from fastener.models.shape.division import Item, Known, distance, kinds_of
from fastener.models.shape.outline import as_complex, as_real, typical

_OLD_UNITS = (0.08, 0.08, 15.0, 15.0, 0.5)  # of files that do not state them; the outline's is
_OLD_OUTLINE = 0.05  # of files that do not state it either
_MOST_ITEMS = 600
# Greatest difference of a clump's area from that of the parts that it should hold: in parts of that, and of the
# smallest part that is missing else.
_TOUCHING, _LACKING = 0.15, 0.6
# Up to this share of these differences a clump surely holds what is missing; beyond, it counts as half a missing part.
_SURELY, _DOUBT = 0.4, 0.5
_USUAL = 0.05  # share of healthy photos from which their numbers are those of a whole kit
_REACH = 1.5
_CUT = 2.5  # a part that was cut off another may lie this many times as far from its kind
# A part up to this many times too far from its nearest kind counts as of this kind if the kit lacks one of it.
_DOUBTFUL = 1.5
# A set of kinds explains a clump if no more than this does not fit, in smallest parts; sets that fit nearly as well as
# the best one, to within the second number, are as likely.
_FITS, _AS_WELL = 0.3, 0.03
_MOULDED = 40  # healthy parts of a kind among which its typical outline is sought


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
    doubt : float
        0, or a half if parts that touch count as those that are missing, but hardly have their size.
    """

    kinds: tuple[int, ...]
    found: tuple[int, ...]
    expected: tuple[int, ...]
    odd: tuple[int, ...]
    doubt: float = 0.0

    @property
    def score(self) -> float:
        """Number of parts that are missing or too many; a swapped part counts twice, doubt as it is."""
        wrong = sum(abs(e - n) for e, n in zip(self.expected, self.found, strict=True))
        return wrong + sum(self.kinds[i] < 0 for i in self.odd) + self.doubt


class Kit:
    """Learn the kinds of parts and their numbers from photos of whole kits.

    Attributes
    ----------
    known_ : Known
        Parts of healthy photos, at most ``_MOST_ITEMS``, without those of no kind.
    units_ : ndarray of float64, (n, 6)
        Differences from each of them that count as one, see ``kinds_of``.
    labels_ : ndarray of int64, (n,)
        Kind of each of them: the finest division whose kinds healthy photos show in steady numbers.
    limit_ : float
        Distance from the nearest healthy part up to which a part is of its kind.
    areas_ : ndarray of float64, (kinds, 2)
        Median filled area of a part of each kind, and the same without its hole, in square photo pixels.
    whole_ : ndarray of int64, (m, kinds)
        Numbers of parts of whole kits.
    names_ : tuple of str
        Name of each kind.
    """

    def fit(self, photos: list[list[Item]]) -> np.ndarray:
        """Learn from the parts of healthy photos; return each photo's score beside the others, (n,).

        Photos in which parts touch score a half at most.
        """
        kept = [i for i, _ in enumerate(photos) if sum(len(one) for one in photos[: i + 1]) <= _MOST_ITEMS] or [0]
        # Where parts touch, fewer of their kinds are seen than are there.
        clear = [i for i in kept if not any(item.cut for item in photos[i])]
        pairs = [(i, item) for i in (clear if 2 * len(clear) >= len(kept) else kept) for item in photos[i]]
        owner = np.array([i for i, _ in pairs])
        everything = Known([item for _, item in pairs])
        differences = np.stack([everything.differences(item) for item in everything.items])
        labels, units = kinds_of(differences, owner)
        at = np.flatnonzero(labels >= 0)
        self.known_ = Known([everything.items[i] for i in at.tolist()])
        self.labels_, self.units_, owner = labels[at], units[at], owner[at]
        apart = distance(differences[np.ix_(at, at)], self.units_)
        other = np.where(owner[:, None] == owner[None], np.inf, apart).min(axis=1)
        seen = other[np.isfinite(other)]
        self.limit_ = max(1.0, _REACH * robust_threshold(seen, 0.01).threshold) if len(seen) > 2 else 1.0
        self.names_ = self._named()
        self.areas_ = self._areas()
        near = [[self._distances(item) for item in items] for items in photos]
        self.whole_ = self._whole(photos, near)
        tallies = [self._tally(items, apart) for items, apart in zip(photos, near, strict=True)]
        # What cannot be told where parts touch says nothing about photos in which none do.
        touching = [_touches(items, tally) for items, tally in zip(photos, tallies, strict=True)]
        scores = np.array([tally.score for tally in tallies], float)
        return np.where(touching, np.minimum(scores, _DOUBT), scores)

    def tally(self, items: list[Item]) -> Tally:
        """Name the kind of each part, and compare their numbers with the nearest whole kit."""
        return self._tally(items, [self._distances(item) for item in items])

    def _tally(self, items: list[Item], near: list[np.ndarray]) -> Tally:
        """Compare parts with the nearest whole kit; ``near`` are the distances of each from the known ones."""
        single = [self._kind(item, one) for item, one in zip(items, near, strict=True)]
        held: list[tuple[int, ...]] = [(kind,) for kind in single]
        explained = self._explained(items, single)
        for group, kinds in explained:
            for i, own in zip(group, shared(kinds, [items[i].size for i in group], self.areas_[:, 0]), strict=True):
                held[i] = own
        found = np.array(self._numbers([kind for own in held for kind in own]))
        expected = self._nearest_whole(found)
        for i in [i for i, own in enumerate(held) if own == (-1,)]:
            nearest = self._kind(items[i], near[i], _DOUBTFUL)
            if nearest >= 0 and found[nearest] < expected[nearest]:
                held[i] = (nearest,)
                found[nearest] += 1
        odd = {i for i, own in enumerate(held) if own == (-1,)}
        missing = np.maximum(expected - found, 0)
        doubt = 0.0
        settled = {i for group, _ in explained for i in group}
        open_ = [i for i, item in enumerate(items) if i not in settled and (item.cut or held[i] == (-1,))]
        clump = [(items[i], held[i][0]) for i in open_]
        if (found <= expected).all() and (off := self._off(clump, missing)) <= 1:
            found, odd = found + missing, set()
            doubt = _DOUBT * (off > _SURELY)
        for kind, more in enumerate((found - expected).tolist()):
            own_kind = sorted((i for i, own in enumerate(held) if kind in own), key=lambda i: -float(near[i].min()))
            odd.update(own_kind[: max(more, 0)])
        kinds_ = tuple(own[0] if own else -1 for own in held)
        return Tally(kinds_, tuple(found.tolist()), tuple(expected.tolist()), tuple(sorted(odd)), doubt)

    def _nearest_whole(self, found: np.ndarray) -> np.ndarray:
        return np.asarray(self.whole_[np.abs(self.whole_ - found).sum(axis=1).argmin()])

    def _explained(self, items: list[Item], single: list[int]) -> list[tuple[list[int], tuple[int, ...]]]:
        """Find the clumps that known kinds explain: the numbers of their parts in ``items``, and the kinds.

        Of the sets of kinds that fit a clump about as well, that one is taken with which the numbers are nearest to
        those of a whole kit. ``single`` is the kind of each part by itself.
        """
        groups: dict[int, list[int]] = {}
        for i, item in enumerate(items):
            if item.clump is not None:
                groups.setdefault(item.clump.number, []).append(i)
        likely: list[tuple[list[int], list[tuple[int, ...]]]] = []
        for group in groups.values():
            clump = items[group[0]].clump
            if clump is None or (len(group) == 1 and single[group[0]] >= 0):
                continue
            sets = [one for one in self.moulds.explain(clump) if len(group) + len(one.kinds) > 2]
            if sets and sets[0].misfit <= _FITS:
                likely.append((group, [one.kinds for one in sets if one.misfit <= sets[0].misfit + _AS_WELL]))
        held = {i for group, _ in likely for i in group}
        clear = self._numbers([kind for i, kind in enumerate(single) if i not in held])
        # Of choices that come to the same numbers the first will do: those of many clumps are too many to compare.
        choices: dict[tuple[int, ...], tuple[tuple[int, ...], ...]] = {clear: ()}
        for _, ways in likely:
            longer: dict[tuple[int, ...], tuple[tuple[int, ...], ...]] = {}
            for (numbers, chosen), kinds in product(choices.items(), ways):
                more = map(sum, zip(numbers, self._numbers(kinds), strict=True))
                longer.setdefault(tuple(more), (*chosen, kinds))
            choices = longer

        def away(numbers: tuple[int, ...]) -> int:
            found = np.array(numbers)
            return int(np.abs(self._nearest_whole(found) - found).sum())

        best = choices[min(choices, key=away)]
        return [(group, kinds) for (group, _), kinds in zip(likely, best, strict=True)]

    @cached_property
    def moulds(self) -> Moulds:
        """A typical outline of each kind, to be laid into clumps of touching parts."""
        outlines = []
        for kind in range(len(self.names_)):
            own = [item for item, label in zip(self.known_.items, self.labels_, strict=True) if label == kind]
            own = [item for item in own if not item.cut] or own
            curves = np.stack([own[i].curve for i in evenly(len(own), _MOULDED).tolist()])
            outlines.append((typical(curves), float(np.exp(np.median([item.size for item in own])))))
        return Moulds(outlines)

    def _whole(self, photos: list[list[Item]], near: list[list[np.ndarray]]) -> np.ndarray:
        """Numbers that several photos show: (m, kinds). Photos with parts that touch or are unknown have no vote."""
        votes: Counter[tuple[int, ...]] = Counter()
        unclear: Counter[tuple[int, ...]] = Counter()
        for items, apart in zip(photos, near, strict=True):
            kinds = [self._kind(item, one) for item, one in zip(items, apart, strict=True)]
            clear = min(kinds, default=-1) >= 0 and not any(item.cut for item in items)
            (votes if clear else unclear)[self._numbers(kinds)] += 1
        votes = votes or unclear
        usual = [one for one, count in votes.items() if count >= max(2, _USUAL * votes.total())]
        return np.array(usual or list(votes))

    def _off(self, clump: list[tuple[Item, int]], missing: np.ndarray) -> float:
        """Measure how badly it fits that the ``missing`` parts are there but touch others, and were cut wrongly.

        That is by how much areas differ, in parts of what may be; infinite where nothing is missing or touches. If
        they are there, all that was cut or is of no kind, ``clump`` with the kind of each, has the area of what is
        known of it and of the missing parts together, with the gaps that touching parts enclose or without. A single
        part of no kind in the place of another that did not touch is no clump.
        """
        if not missing.any() or not clump or not (missing.sum() >= 2 or any(item.cut for item, _ in clump)):
            return float("inf")
        known = [kind for _, kind in clump if kind >= 0]
        expected = self.areas_[known].sum(axis=0) + (missing[:, None] * self.areas_).sum(axis=0)
        there = np.sum([_area(item) for item, _ in clump], axis=0)
        # Without the smallest of the missing parts the areas have to differ.
        smallest = self.areas_[missing > 0].min(axis=0)
        return float((np.abs(there - expected) / np.minimum(_TOUCHING * expected, _LACKING * smallest)).min())

    def _areas(self) -> np.ndarray:
        areas = np.array([_area(item) for item in self.known_.items])
        return np.array([np.median(areas[self.labels_ == kind], axis=0) for kind in range(len(self.names_))])

    def _distances(self, item: Item) -> np.ndarray:
        return distance(self.known_.differences(item), self.units_)

    def _kind(self, item: Item, apart: np.ndarray, times: float = 1.0) -> int:
        """Kind of a part from its distances; -1 if none is within ``times`` the limit."""
        # Parts that were cut are odd in outline only.
        limit = times * self.limit_ * (_CUT if item.cut else 1)
        return int(self.labels_[apart.argmin()]) if apart.min() <= limit else -1

    def _numbers(self, kinds: Sequence[int]) -> tuple[int, ...]:
        return tuple(kinds.count(kind) for kind in range(len(self.names_)))

    def _named(self) -> tuple[str, ...]:
        """Name kinds by what they look like; letters tell kinds of one look apart, the largest first."""
        looks = []
        for kind in range(int(self.labels_.max()) + 1):
            own = [item for item, label in zip(self.known_.items, self.labels_, strict=True) if label == kind]
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
        looks = [
            [one.size, one.hole, float(one.long), float(one.cut), *one.colour, *one.words] for one in self.known_.items
        ]
        return {
            "curves": as_real(self.known_.curves),
            "parts": np.array(looks),
            "units": self.units_,
            "labels": self.labels_,
            "whole": self.whole_,
            "names": list(self.names_),
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
        self.known_ = Known(items)
        self.units_ = np.asarray(state.get("units", [[float(state.get("outline", _OLD_OUTLINE)), *_OLD_UNITS]]))
        self.labels_, self.whole_ = np.asarray(state["labels"]), np.asarray(state["whole"])
        self.names_, self.limit_ = tuple(state["names"]), float(state["limit"])
        self.areas_ = self._areas()
        return self


def _touches(items: list[Item], tally: Tally) -> bool:
    """Tell whether parts of a whole kit touch: one was cut off another, or some are one piece of no known kind."""
    fewer = len(items) < sum(tally.found) or (-1 in tally.kinds and len(items) < sum(tally.expected))
    return fewer or any(item.cut for item in items)


def _area(item: Item) -> tuple[float, float]:
    """Area within the outline in square photo pixels, and the same without the hole."""
    area = float(np.exp(2 * item.size))
    return area, area * (1 - item.hole)
