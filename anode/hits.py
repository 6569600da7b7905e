"""Boxes that detectors find, and the rule that a hit counts only over consecutive slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True)
class Box:
    """A detection in pixels of the image it was found in; x_max and y_max lie just outside.

    ``area``: how many pixels inside are anomalous; None if the detector says nothing of it.
    """

    x_min: float
    y_min: float
    x_max: float
    y_max: float
    score: float
    label: str
    area: float | None = None

    def overlaps(self, other: Box) -> bool:
        """Whether the two share some area."""
        across = min(self.x_max, other.x_max) > max(self.x_min, other.x_min)
        return across and min(self.y_max, other.y_max) > max(self.y_min, other.y_min)


class Predictor(Protocol):
    """Whatever finds boxes in pictures of a region."""

    def predict(self, images: Sequence[np.ndarray]) -> list[list[Box]]:
        """The boxes of each image, uint8 RGB (H, W, 3), in its own pixels."""


@dataclass(frozen=True)
class Hit:
    """A box in slice pixels, the region it lies in, and the number of its slice."""

    number: int
    region: str
    box: Box


@dataclass(frozen=True)
class Run:
    """Hits of one place in slices without a gap between them, by slice."""

    hits: tuple[Hit, ...]

    @property
    def first(self) -> int:
        """Number of its first slice."""
        return self.hits[0].number

    @property
    def last(self) -> int:
        """Number of its last slice."""
        return self.hits[-1].number


def find_runs(hits: Sequence[Hit], at_least: int, step: int = 1) -> list[Run]:
    """Runs of at least ``at_least`` slices among the hits of one volume and one detector; a hit in none does not count.

    Two hits belong together if their slices are neighbours (numbers ``step`` apart), their region is the same and their
    boxes overlap. However long, a run stays one run; a slice without a hit there ends it, and so does one that was not
    inspected. Runs are ordered by their first slice.
    """
    ordered = sorted(hits, key=lambda hit: (hit.number, hit.region, hit.box.x_min, hit.box.y_min))
    of_slice: dict[tuple[int, str], list[int]] = {}
    for index, hit in enumerate(ordered):
        of_slice.setdefault((hit.number, hit.region), []).append(index)
    pairs = [
        (index, after)
        for (number, region), members in of_slice.items()
        for index in members
        for after in of_slice.get((number + step, region), ())
        if ordered[index].box.overlaps(ordered[after].box)
    ]
    runs = [Run(tuple(ordered[index] for index in members)) for members in _connected(len(ordered), pairs)]
    return [run for run in runs if (run.last - run.first) // step + 1 >= at_least]


def _connected(count: int, pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Indices 0..count-1 in groups that ``pairs`` connect, each ascending, ordered by their first."""
    rows, columns = np.array(pairs, int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), (count, count))
    labels = connected_components(graph, directed=False)[1] if count else []
    groups: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        groups.setdefault(int(label), []).append(index)
    return list(groups.values())


def hits_by_slice(runs: Sequence[Run]) -> dict[int, list[Hit]]:
    """The hits of all runs, by slice number."""
    by_number: dict[int, list[Hit]] = {}
    for run in runs:
        for hit in run.hits:
            by_number.setdefault(hit.number, []).append(hit)
    return by_number
