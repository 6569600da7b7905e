"""How parts differ, in units that the photos themselves show, and their division into kinds of steady numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from fastener.models.shape.clumps import Clump
from fastener.models.shape.outline import fits

# Differences that count as one before any part is seen: root mean square distance of outlines in parts of the size,
# logarithm of the size, share of the hole, lightness and hue in CIELab units, and distance of two histograms of words
# (Hellinger's, 0 to 1). Then the least that may count as one, and the most that each adds to a distance: bright metal
# mirrors light and ground, so that a face may be lighter than all known ones, or look like a hole.
_FIRST = np.array([0.02, 0.08, 0.08, 15.0, 6.0, 0.5])
_LEAST = np.array([0.01, 0.02, 0.04, 6.0, 3.0, 0.2])
_MOST = np.array([np.inf, np.inf, 1.0, 1.0, np.inf, 1.0])
_TIMES, _ROUNDS = 3.0, 3
_MOST_DIVISIONS = 40
# A kind is steady if this share of healthy photos shows it in one number, and if so many would do so with no more than
# this chance were the parts divided at random. Steady kinds hold this share of all parts.
_STEADY, _CHANCE, _INSIDE = 0.85, 0.001, 0.85


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
    clump: Clump | None = None  # the connected piece that it is, or was cut out of; None for a known part


class Known:
    """Hold known parts so that others can be compared with all of them at once."""

    def __init__(self, items: list[Item]):
        self.items = items
        self.curves: np.ndarray = np.stack([one.curve for one in items])
        self.spectra = np.fft.fft(self.curves, axis=1)
        self.looks = np.stack([_look(one) for one in items])

    def differences(self, item: Item) -> np.ndarray:
        """Differences of a part from each known one in outline, size, hole, lightness, hue and words: (n, 6)."""
        apart = np.abs(self.looks - _look(item))
        hue, words = np.linalg.norm(apart[:, 3:5], axis=1), np.linalg.norm(apart[:, 5:], axis=1)
        return np.column_stack([fits(item.curve, self.curves, self.spectra)[0], apart[:, :3], hue, words])


def distance(differences: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Join differences (..., 6), each in its unit (6,), to one distance (...)."""
    return np.asarray(np.sqrt(np.square(np.minimum(differences / units, _MOST)).sum(axis=-1)))


def units_of(differences: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Find by how much parts of one kind differ in each respect: (6,), see ``Known.differences``.

    ``differences`` is (n, n, 6), ``owner`` (n,) says of which photo each part is. A part's counterpart in another photo
    is the nearest one there, so that units and counterparts are sought in turns.
    """
    units = _FIRST
    photos = np.unique(owner)
    if len(photos) < 2:
        return units
    rows = np.arange(len(owner))
    for _ in range(_ROUNDS):
        apart = distance(differences, units)
        pairs = []
        for photo in photos.tolist():
            there, others = np.flatnonzero(owner == photo), rows[owner != photo]
            pairs.append(differences[others, there[apart[np.ix_(others, there)].argmin(axis=1)]])
        units = np.clip(_TIMES * np.median(np.concatenate(pairs), axis=0), _LEAST, 3 * _FIRST)
    return np.asarray(units)


def kinds_of(differences: np.ndarray, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide parts into kinds, and each kind again in units of its own, as far as healthy photos agree on the numbers.

    ``differences`` and ``owner`` are as in ``units_of``. Returns the kind of each part, int64 (n,), -1 for none, and
    the units of each, (n, 6): kinds differ in how well they are seen.
    """
    labels, units = np.full(len(owner), -1), np.tile(_FIRST, (len(owner), 1))
    groups, count = [np.arange(len(owner))], 0
    while groups:
        group = groups.pop()
        own, at = differences[np.ix_(group, group)], owner[group]
        units[group] = units_of(own, at)
        kinds = divide(distance(own, units[group]), at)
        if kinds.max() > 0:
            groups += [group[kinds == kind] for kind in range(int(kinds.max()), -1, -1)]
        else:
            labels[group[kinds == 0]] = count
            count += 1
    return labels, units


def divide(apart: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Divide parts into the most kinds that healthy photos show in steady numbers; -1 for parts of no such kind.

    ``apart`` (n, n) are their distances, ``owner`` (n,) says of which photo each part is. Without such kinds all parts
    are of one.
    """
    from scipy.cluster.hierarchy import fcluster, linkage  # load slowly, and only those who learn need them
    from scipy.spatial.distance import squareform

    if len(apart) < 2:
        return np.zeros(len(apart), np.int64)
    tree = linkage(squareform((apart + apart.T) / 2, checks=False), "average")
    best, most = np.ones(len(apart), np.int64), 0
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


def _steady(labels: np.ndarray, owner: np.ndarray) -> list[int]:
    """List the labels of which most photos show one number; ``labels`` and ``owner``, (n,), say of which photo."""
    from scipy.special import bdtrc, binom

    photos = np.unique(owner, return_inverse=True)[1]
    numbers = np.zeros((photos.max() + 1, labels.max() + 1), np.int64)
    np.add.at(numbers, (photos, labels), 1)
    parts, steady = numbers.sum(axis=1), []
    for label in np.unique(labels).tolist():
        usual, count = Counter(numbers[:, label].tolist()).most_common(1)[0]
        share = numbers[:, label].sum() / parts.sum()
        at_random = float(np.mean(binom(parts, usual) * share**usual * (1 - share) ** np.maximum(parts - usual, 0)))
        surely = share == 1 or bdtrc(count - 1, len(numbers), at_random) <= _CHANCE
        if usual > 0 and count >= _STEADY * len(numbers) and surely:
            steady.append(int(label))
    return steady


def _look(item: Item) -> np.ndarray:
    # The distance of the roots of two histograms is sqrt(2) times Hellinger's distance.
    return np.array([item.size, item.hole, *item.colour, *np.sqrt(item.words / 2)])
