"""Healthy shapes, and how far a part differs from the nearest of them.

Good photos may show several kinds of parts. So a part is compared with its nearest healthy outlines only: a figure is
odd if it lies far from the same figure of these neighbours, in units of how much they differ among themselves. What is
far follows from the healthy parts, each compared as if it were not among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastener.common.sampling import evenly
from fastener.models.calibration import conformal_threshold, robust_threshold, robust_thresholds
from fastener.models.shape.axis import SECTIONS
from fastener.models.shape.figures import MOSTLY, Shape, highest
from fastener.models.shape.outline import POINTS, as_complex, as_real, distances, fits, laid

FEWEST = 8  # with fewer healthy parts nobody can say what is usual
_NEIGHBOURS, _CLOSEST, _LEAST_KIN, _MOST = 10, 4, 16, 400
_ALONE = 3.0  # neighbours lie no farther than this many times the second nearest
_TAIL = 0.01
_SIGMAS = 1.2816  # standard deviations that four fifths of normal values stay within
_LEAST_LIMIT = 3.0  # deviations
# A part is of a new kind if its distance from the nearest outline is this many times that of the loneliest healthy one,
# and at least this many % of its size.
_NEW_KIND, _LEAST_NEW = 1.5, 5.0
_WORST = 2  # sections of a thread that count, the worst
_PLAIN = 0.02  # depth in shank widths below which there is no thread


@dataclass(frozen=True)
class Check:
    """Describe one way in which a part may differ from its neighbours.

    Attributes
    ----------
    name : str
        "kind" and "outline" are distances from the nearest outline, as a whole and where it is worst, in % of the
        part's size; "thread" is the difference from the nearest thread in % of its depth; the others are figures of
        ``Shape``.
    floor : float
        Spread among neighbours below which differences are noise of the mask, in the unit of the check.
    two_sided : bool
        Whether less than the neighbours is as odd as more.
    """

    name: str
    floor: float
    two_sided: bool = False


CHECKS = (
    Check("kind", 0.3),
    Check("outline", 0.15),
    Check("thread", 6.0),
    Check("bend", 0.5),
    Check("asymmetry", 0.1),
    Check("ovality", 0.4, two_sided=True),
    Check("pitch", 1.0, two_sided=True),
    Check("hole share", 6.0, two_sided=True),
    Check("hole offset", 5.0),
    Check("holes", 0.3, two_sided=True),
    Check("flare", 2.0),
)
_FLOORS = np.array([check.floor for check in CHECKS])
_TWO_SIDED = np.array([check.two_sided for check in CHECKS])
_FIGURES = CHECKS[3:]


@dataclass(frozen=True)
class Comparison:
    """Say how far one part differs from healthy ones.

    Attributes
    ----------
    excess : ndarray of float64, (number of ``CHECKS``,)
        Deviation from the neighbours, in parts of what healthy parts reach; 0 for a check that cannot be made.
    usual : ndarray of float64, (number of ``CHECKS``,)
        Median of the neighbours in the unit of each check; NaN where they have none.
    values : ndarray of float64, (number of ``CHECKS``,)
        Value of the part itself; NaN where it has none.
    places : ndarray of float64, (POINTS,)
        How far each point of the outline bears out the worst deviation, 0 to 1.
    new_kind : bool
        Whether the part is like none of the healthy ones as a whole.
    """

    excess: np.ndarray
    usual: np.ndarray
    values: np.ndarray
    places: np.ndarray
    new_kind: bool

    @property
    def score(self) -> float:
        """The largest excess; above 1 healthy parts seldom come."""
        return float(self.excess.max())

    @property
    def worst(self) -> str:
        """Name of the check with the largest excess."""
        return CHECKS[int(self.excess.argmax())].name


@dataclass(frozen=True)
class _Nearest:
    """Hold a part's own values, and the numbers of its neighbours among the healthy parts, the nearest first."""

    values: np.ndarray
    neighbours: np.ndarray
    kin: np.ndarray  # numbers of the nearest third of the healthy parts, who say what is far
    outline: np.ndarray  # (POINTS,), distance from the nearest outline
    thread: np.ndarray  # (SECTIONS,), difference from the nearest thread


class HealthyShapes:
    """Learn the shapes of healthy parts, and compare other parts with them.

    Attributes
    ----------
    curves_, spectra_ : ndarray of complex128, (n, POINTS)
        Their outlines, and the discrete Fourier transforms of these. At most ``_MOST`` are kept, evenly sampled.
    threads_ : ndarray of float64, (n, SECTIONS)
        Depths of their threads, in parts of the usual depth of each; NaN without a shank.
    figures_ : ndarray of float64, (n, number of figures)
        Their figures; NaN where a part has none.
    groups_ : ndarray of int64, (n,)
        Parts with the same number are copies and are left out together.
    values_ : ndarray of float64, (n, number of checks)
        Values of all checks, each part compared with the others.
    deviations_ : ndarray of float64, (n, number of checks)
        Deviations of each part from its neighbours.
    pooled_ : ndarray of float64, (number of checks,)
        Usual spread among neighbours.
    reach_, widest_ : float
        Largest excess that healthy parts reach, and distance of the loneliest one from its nearest.
    """

    def fit(self, shapes: list[Shape], groups: np.ndarray, alpha: float) -> np.ndarray:
        """Learn from at least ``FEWEST`` shapes; return their scores as if each group had been left out, (n,).

        At most about half of ``alpha`` of healthy parts score above 1.
        """
        kept = evenly(len(shapes), _MOST)
        some = [shapes[i] for i in kept.tolist()]
        self._keep(np.stack([one.outline.curve for one in some]))
        self.threads_ = np.stack([_in_parts(one.thread) for one in some])
        self.figures_ = np.stack([_figures(one) for one in some])
        self.groups_ = np.asarray(groups)[kept]
        self.pooled_ = np.zeros(len(CHECKS))
        self.reach_, self.widest_ = 1.0, np.inf
        found = [self._nearest(one, group) for one, group in zip(shapes, groups, strict=True)]
        own = np.flatnonzero(np.isin(np.arange(len(shapes)), kept))
        self.values_ = np.stack([found[i].values for i in own.tolist()])
        spreads = np.stack([self._neighbourhood(one.neighbours)[1] for one in found])
        self.pooled_ = np.nan_to_num(_quiet_quantile(spreads))
        deviations = np.stack([self._deviations(one)[0] for one in found])
        self.deviations_ = deviations[own]
        scores = np.array([(row / self._limits(one.kin)).max() for row, one in zip(deviations, found, strict=True)])
        self.reach_ = max(1.0, _limit(scores, alpha))
        self.widest_ = _limit(self.values_[:, 0], alpha / 2)
        return scores / self.reach_

    def extend(self, shapes: list[Shape], groups: np.ndarray) -> np.ndarray:
        """Learn more healthy shapes; return their scores as if they were not learned, (n,). Limits stay."""
        found = [self._nearest(one, None) for one in shapes]
        scores = np.array([self.compare(one).score for one in shapes])
        if shapes:
            deviations = np.stack([self._deviations(one)[0] for one in found])
            self._keep(np.concatenate([self.curves_, np.stack([one.outline.curve for one in shapes])]))
            self.threads_ = np.concatenate([self.threads_, np.stack([_in_parts(one.thread) for one in shapes])])
            self.figures_ = np.concatenate([self.figures_, np.stack([_figures(one) for one in shapes])])
            self.groups_ = np.concatenate([self.groups_, groups])
            self.values_ = np.concatenate([self.values_, np.stack([one.values for one in found])])
            self.deviations_ = np.concatenate([self.deviations_, deviations])
        return scores

    def compare(self, shape: Shape, group: int | None = None) -> Comparison:
        """Compare a part with healthy ones, as if those of ``group`` had not been learned."""
        found = self._nearest(shape, group)
        deviations, usual = self._deviations(found)
        excess = np.maximum(deviations / self._limits(found.kin) / self.reach_, 0)
        new_kind = bool(found.values[0] > max(_NEW_KIND * self.widest_, _LEAST_NEW))
        places = self._places(shape, found, CHECKS[int(excess.argmax())].name)
        return Comparison(excess, usual, found.values, places, new_kind)

    def _keep(self, curves: np.ndarray) -> None:
        self.curves_, self.spectra_ = curves, np.fft.fft(curves, axis=1)

    def _nearest(self, shape: Shape, group: int | None) -> _Nearest:
        curve = shape.outline.curve
        others = np.arange(len(self.groups_)) if group is None else np.flatnonzero(self.groups_ != group)
        apart, shift, turn = (one[others] for one in fits(curve, self.curves_, self.spectra_))
        ranks = np.argsort(apart, kind="stable")
        kin, order = others[ranks[: max(_LEAST_KIN, len(others) // 3)]], ranks[:_NEIGHBOURS]
        order = order[apart[order] <= _ALONE * apart[order[min(1, len(order) - 1)]]]
        closest = order[:_CLOSEST].tolist()
        apart_there = distances(curve, np.stack([laid(self.curves_[others[i]], shift[i], turn[i]) for i in closest]))
        apart_there = apart_there * shape.seen
        worst = highest(apart_there)
        whole = 100 * apart[order[0]] if shape.seen.mean() >= MOSTLY else np.nan
        neighbours = others[order]
        thread, own = self._thread(shape, others)
        values = np.array([whole, 100 * worst.min(), own])
        return _Nearest(np.concatenate([values, _figures(shape)]), neighbours, kin, apart_there[worst.argmin()], thread)

    def _thread(self, shape: Shape, others: np.ndarray) -> tuple[np.ndarray, float]:
        """Difference from the nearest thread among ``others``, (SECTIONS,), and its value; NaN without a thread.

        Threads are compared in parts of their own depth, so that fine and coarse ones vouch for each other.
        """
        apart = np.abs(self.threads_[others] - _in_parts(shape.thread))
        worst = np.partition(apart, -_WORST, axis=1)[:, -_WORST:].mean(axis=1)
        if np.isnan(worst).all():
            return np.zeros(SECTIONS), np.nan
        return apart[np.nanargmin(worst)], 100 * float(np.nanmin(worst))

    def _neighbourhood(self, neighbours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Median and robust spread of the neighbours' values, two (number of checks,); NaN where fewer than three."""
        values = self.values_[neighbours]
        median = _quiet_quantile(values)
        # The 80 % quantile, not the median: where shadows spoil a few outlines of a kind, all of it are less certain.
        spread = _quiet_quantile(np.abs(values - median), 0.8) / _SIGMAS
        few = (~np.isnan(values)).sum(axis=0) < 3
        return np.where(few, np.nan, median), np.where(few, np.nan, spread)

    def _limits(self, kin: np.ndarray) -> np.ndarray:
        """Deviations that the healthy parts ``kin`` reach, gross outliers left out: (number of checks,).

        Kinds differ in how well their outline is seen, so that each has its own.
        """
        own = self.deviations_[kin]
        thresholds, kept = robust_thresholds(own, _TAIL)
        highest_kept = np.where(kept, own, -np.inf).max(axis=0)
        return np.asarray(np.maximum(np.maximum(thresholds, highest_kept), _LEAST_LIMIT))

    def _deviations(self, found: _Nearest) -> tuple[np.ndarray, np.ndarray]:
        """Deviations from the neighbours, and the neighbours' medians; 0 where one or the other has no value."""
        median, spread = self._neighbourhood(found.neighbours)
        unit = np.maximum(np.maximum(np.nan_to_num(spread), self.pooled_), _FLOORS)
        deviations = np.nan_to_num((found.values - median) / unit)
        return np.where(_TWO_SIDED, np.abs(deviations), deviations), median

    def _places(self, shape: Shape, found: _Nearest, worst: str) -> np.ndarray:
        """Mark the points of the outline, 0 to 1, that bear out the ``worst`` check."""
        if worst == "thread":
            marked = np.where(shape.section >= 0, found.thread[shape.section], 0.0)
        elif worst in shape.places:
            marked = shape.places[worst]
        elif worst in ("kind", "outline"):
            marked = found.outline
        else:
            marked = np.ones(POINTS)
        return np.asarray(marked / max(float(marked.max()), 1e-9))

    def state(self) -> dict[str, Any]:
        """Return arrays and numbers that ``restore`` takes back."""
        names = ("threads_", "figures_", "groups_", "values_", "deviations_", "pooled_")
        arrays = {name: np.asarray(getattr(self, name)) for name in names}
        return {**arrays, "curves_": as_real(self.curves_), "reach_": self.reach_, "widest_": self.widest_}

    def restore(self, state: dict[str, Any]) -> HealthyShapes:
        """Take over a saved ``state``, whose arrays may be tensors; return this object."""
        self._keep(as_complex(state["curves_"]))
        for name in ("threads_", "groups_"):
            setattr(self, name, np.asarray(state[name]))
        # Files of earlier versions lack the last checks, which then are not made.
        lacking = len(CHECKS) - len(np.asarray(state["pooled_"]))
        for name, nothing in (("figures_", np.nan), ("values_", np.nan), ("deviations_", 0.0)):
            columns = np.pad(np.asarray(state[name]), ((0, 0), (0, lacking)), constant_values=nothing)
            setattr(self, name, columns)
        self.pooled_ = np.pad(np.asarray(state["pooled_"]), (0, lacking))
        self.reach_, self.widest_ = float(state["reach_"]), float(state["widest_"])
        return self


def _figures(shape: Shape) -> np.ndarray:
    return np.array([shape.figures.get(check.name, np.nan) for check in _FIGURES])


def _in_parts(thread: np.ndarray) -> np.ndarray:
    """Depth of a thread in parts of its usual depth; a plain rod's noise stays small."""
    return np.asarray(thread / np.maximum(np.quantile(thread, 0.75), _PLAIN))


def _quiet_quantile(values: np.ndarray, share: float = 0.5) -> np.ndarray:
    """Quantile of each column without its NaN; NaN for a column of nothing else."""
    ordered = np.sort(values, axis=0)  # NaN come last
    last = (~np.isnan(values)).sum(axis=0) - 1
    at = share * np.maximum(last, 0)
    low, columns = np.floor(at).astype(int), np.arange(values.shape[1])
    high = np.minimum(low + 1, np.maximum(last, 0))
    return np.asarray(ordered[low, columns] + (at - low) * (ordered[high, columns] - ordered[low, columns]))


def _limit(healthy: np.ndarray, alpha: float) -> float:
    """Find the value, of healthy ones (n,), that no more than ``alpha`` exceed, nor a hundredth of a normal tail."""
    return max(robust_threshold(healthy, _TAIL).threshold, conformal_threshold(healthy, alpha)[0])
