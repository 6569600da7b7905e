"""Define boxes and hits, and apply the rule that a hit counts only over consecutive slices."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True)
class Box:
    """Locate a detection in the pixels of its image.

    Parameters
    ----------
    x_min, y_min
        First column and row of the box.
    x_max, y_max
        Column and row just outside the box.
    score
        Score of the detector, higher for a more certain defect.
    label
        Name of the defect.
    area
        Number of anomalous pixels in the box; None if the detector does not measure it.
    """

    x_min: float
    y_min: float
    x_max: float
    y_max: float
    score: float
    label: str
    area: float | None = None

    def overlaps(self, other: Box) -> bool:
        """Tell whether two boxes share some area."""
        across = min(self.x_max, other.x_max) > max(self.x_min, other.x_min)
        return across and min(self.y_max, other.y_max) > max(self.y_min, other.y_min)


@dataclass(frozen=True)
class Found:
    """Hold what a detector finds in the picture of a region.

    Parameters
    ----------
    boxes
        The boxes above the threshold, in the pixels of the picture.
    peak
        Highest score anywhere in the region, above the threshold or not; None if the detector does not tell.
    profile
        Highest score in each row of the detector's map, float32 (h,); empty if it has no map.
    """

    boxes: list[Box]
    peak: float | None = None
    profile: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))


class Predictor(Protocol):
    """Find boxes in pictures of a region."""

    def find(self, images: Sequence[np.ndarray]) -> list[Found]:
        """Return what is found in each image, uint8 RGB (H, W, 3), in its own pixels."""


@dataclass(frozen=True)
class Hit:
    """Locate a box in a slice: the number of the slice, the region, and the box in slice pixels."""

    number: int
    region: str
    box: Box


@dataclass(frozen=True)
class Run:
    """Hold the hits of one place in slices that follow each other, ascending by slice.

    Parameters
    ----------
    hits
        The hits.
    bridged
        Numbers of slices within the run that could not be read.
    """

    hits: tuple[Hit, ...]
    bridged: tuple[int, ...] = ()

    @property
    def first(self) -> int:
        """Number of the first slice."""
        return self.hits[0].number

    @property
    def last(self) -> int:
        """Number of the last slice."""
        return self.hits[-1].number

    @property
    def region(self) -> str:
        """Name of the region in which all hits lie."""
        return self.hits[0].region


def find_runs(
    hits: Sequence[Hit], at_least: int, step: int = 1, unreadable: Collection[int] = frozenset()
) -> list[Run]:
    """Find runs of at least ``at_least`` slices among the hits of one detector in one volume.

    Two hits belong to the same run if their slices are neighbours (numbers ``step`` apart), their region is the same
    and their boxes overlap. A slice without a hit at that place ends a run, and so does a slice that was not asked for.
    Slices whose numbers are ``unreadable`` are passed over: nobody knows that they are good. They do not count as
    slices of a run. A hit that belongs to no run does not count. Runs are ordered by their first slice.
    """
    ordered = sorted(hits, key=lambda hit: (hit.number, hit.region, hit.box.x_min, hit.box.y_min))
    of_slice: dict[tuple[int, str], list[int]] = {}
    for index, hit in enumerate(ordered):
        of_slice.setdefault((hit.number, hit.region), []).append(index)
    pairs = [
        (index, after)
        for (number, region), members in of_slice.items()
        for index in members
        for after in of_slice.get((_next(number, step, unreadable), region), ())
        if ordered[index].box.overlaps(ordered[after].box)
    ]
    runs = [Run(tuple(ordered[index] for index in members)) for members in _connected(len(ordered), pairs)]
    runs = [replace(run, bridged=tuple(n for n in sorted(unreadable) if run.first < n < run.last)) for run in runs]
    return [run for run in runs if length(run, step) >= at_least]


def length(run: Run, step: int) -> int:
    """Count the slices of a run that were read."""
    return (run.last - run.first) // step + 1 - len(run.bridged)


def _next(number: int, step: int, unreadable: Collection[int]) -> int:
    """Return the number of the next slice that can be read."""
    number += step
    while number in unreadable:
        number += step
    return number


def _connected(count: int, pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Group the indices 0 to count - 1 that ``pairs`` connect; groups ascend, and are ordered by their first index."""
    rows, columns = np.array(pairs, int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), (count, count))
    labels = connected_components(graph, directed=False)[1] if count else []
    groups: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        groups.setdefault(int(label), []).append(index)
    return list(groups.values())


def hits_by_slice(runs: Sequence[Run]) -> dict[int, list[Hit]]:
    """Collect the hits of all runs by slice number."""
    by_number: dict[int, list[Hit]] = {}
    for run in runs:
        for hit in run.hits:
            by_number.setdefault(hit.number, []).append(hit)
    return by_number


def counted_in(
    number: int,
    hits: Mapping[int, Sequence[Hit]],
    at_least: int,
    step: int = 1,
    unreadable: Collection[int] = frozenset(),
) -> list[Hit]:
    """Return the hits of one slice that count; ``hits`` holds all hits of a detector by slice number.

    Only slices less than ``at_least`` steps away are looked at, and further ones for each ``unreadable`` slice. A run
    that leaves this neighbourhood is long enough, and a shorter run lies inside it.
    """
    reach = (at_least - 1 + len(unreadable)) * step
    near = [hit for near_by in range(number - reach, number + reach + 1, step) for hit in hits.get(near_by, ())]
    return hits_by_slice(find_runs(near, at_least, step, unreadable)).get(number, [])
