"""Compare many methods over many data sets by their ranks, after Demsar.

Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from fastener.evaluation.figure_style import PLAIN, Style

FEWEST_METHODS = 3


@dataclass(frozen=True)
class RankComparison:
    """Mean ranks of k methods on n data sets, 1 the best.

    Parameters
    ----------
    methods : tuple of str, k
        Their names, the best mean rank first.
    ranks : tuple of float, k
        Their mean ranks; ties share the mean of their ranks.
    sets : int
        Number n of data sets.
    p : float
        Friedman's p-value that all methods are equal.
    critical : float
        Nemenyi's critical difference: methods whose mean ranks differ by less are not told apart at 5 %.
    """

    methods: tuple[str, ...]
    ranks: tuple[float, ...]
    sets: int
    p: float
    critical: float

    @property
    def alike(self) -> list[tuple[int, int]]:
        """Longest runs of neighbours, first and last index, that are not told apart."""
        ends = [max(j for j in range(len(self.ranks)) if self.ranks[j] - one < self.critical) for one in self.ranks]
        runs = [(i, end) for i, end in enumerate(ends) if end > i]
        return [(i, end) for i, end in runs if not any(j < i and end <= other for j, other in runs)]


def compare_ranks(methods: Sequence[str], values: np.ndarray) -> RankComparison:
    """Compare methods by ``values`` (n, k), one row a data set, higher is better.

    Raises ValueError for fewer than three methods or two data sets.
    """
    n, k = values.shape
    if k < FEWEST_METHODS or n < 2:
        raise ValueError(f"ranks need {FEWEST_METHODS} methods and 2 data sets at least, got {k} and {n}")
    ranks = np.mean([rankdata(-row) for row in values], axis=0)
    equal = bool((values == values[:, :1]).all())
    p = 1.0 if equal else float(friedmanchisquare(*values.T).pvalue)
    order = np.argsort(ranks, kind="stable")
    return RankComparison(
        tuple(methods[i] for i in order), tuple(float(ranks[i]) for i in order), n, p, critical_difference(k, n)
    )


def critical_difference(methods: int, sets: int, alpha: float = 0.05) -> float:
    """Compute Nemenyi's critical difference of mean ranks.

    >>> round(critical_difference(4, 14), 2)  # Demsar's example
    1.25
    """
    quantile = float(studentized_range.ppf(1 - alpha, methods, np.inf)) / np.sqrt(2)
    return float(quantile * np.sqrt(methods * (methods + 1) / (6 * sets)))


def diagram(found: RankComparison, style: Style = PLAIN) -> Figure:
    """Draw the critical-difference diagram: methods at their mean ranks, bars over those that are not told apart."""
    k = len(found.methods)
    half = (k + 1) // 2
    fig = Figure(figsize=(style.width, 0.9 + 0.2 * half + 0.12 * len(found.alike)), layout="constrained")
    ax = fig.add_subplot()
    ax.set_axis_off()
    depth = 0.35 * len(found.alike) + 0.4
    ax.set(xlim=(0.2 - 0.45 * k, k + 0.8 + 0.45 * k), ylim=(-depth - half, 1.9))
    ax.plot([1, k], [0, 0], color="black", linewidth=1)
    for tick in range(1, k + 1):
        ax.plot([tick, tick], [0, 0.15], color="black", linewidth=1)
        ax.text(tick, 0.25, str(tick), ha="center", va="bottom")
    ax.plot([1, 1 + found.critical], [1.2, 1.2], color="black", linewidth=1.5, marker="|", markersize=5)
    ax.text(1 + found.critical / 2, 1.3, f"CD {found.critical:.2f}", ha="center", va="bottom")
    for place, (name, rank) in enumerate(zip(found.methods, found.ranks, strict=True)):
        left = place < half
        height = -depth - float(place if left else k - 1 - place)
        edge = 0.6 if left else k + 0.4
        ax.plot([rank, rank, edge], [0, height, height], color="black", linewidth=0.8)
        text = f"{name} ({rank:.2f}) " if left else f" ({rank:.2f}) {name}"
        ax.text(edge, height, text, ha="right" if left else "left", va="center")
    for number, (first, last) in enumerate(found.alike):
        level = -0.3 - 0.35 * number
        ax.plot([found.ranks[first] - 0.05, found.ranks[last] + 0.05], [level, level], color="black", linewidth=3)
    if not style.paper:
        ax.set_title(f"mean ranks on {found.sets} data sets, Friedman p {found.p:.3g}")
    return fig
