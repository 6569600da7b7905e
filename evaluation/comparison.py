"""Compare runs on the same images: is one method's AUROC higher than another's, beyond chance?

DeLong's test compares AUROCs on one set of images, Holm's correction keeps many tests honest, and over several data
sets Wilcoxon's signed-rank test compares two methods by their AUROCs, as Demsar (2006) advises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, rankdata, wilcoxon

from fastener.evaluation.metrics import average_precision, check_two_classes, paired_difference_ci
from fastener.evaluation.region_curves import RegionCurves
from fastener.evaluation.resampling import resample_weights, weighted_average_precision

_RESAMPLES = 2000
FEWEST_SETS = 6  # with fewer, Wilcoxon's exact test cannot reach 5 %


@dataclass(frozen=True)
class Difference:
    """Compare two runs on one data set.

    Parameters
    ----------
    data, first, second : str
        Names of the data set and of the runs.
    n : int
        Number of images.
    auroc : tuple of float
        AUROC of each.
    difference, low, high : float
        AUROC of the first less that of the second, with DeLong's 95 % interval.
    p : float
        Two-sided p-value of DeLong's test.
    p_holm : float
        The same, corrected for all tests of the report.
    bootstrap : tuple of float
        95 % paired bootstrap interval of the difference, which needs no normal distribution.
    average_precision : tuple of float
        Average precision of each.
    others : mapping of str to MetricDifference
        Further metrics: "image_aupr", and "aupro" where the overlap of regions of both runs is known.
    """

    data: str
    first: str
    second: str
    n: int
    auroc: tuple[float, float]
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    bootstrap: tuple[float, float]
    average_precision: tuple[float, float]
    others: Mapping[str, MetricDifference] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricDifference:
    """Compare two runs on one data set by a metric whose test is the paired bootstrap.

    Parameters
    ----------
    values : tuple of float
        The metric of each.
    difference, low, high : float
        That of the first less that of the second, with its 95 % percentile interval.
    p : float
        Two-sided p-value: twice the share of resamples on the rarer side of no difference.
    p_holm : float
        The same, corrected for all tests of this metric in the report.
    """

    values: tuple[float, float]
    difference: float
    low: float
    high: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class AcrossSets:
    """Compare two runs over several data sets: Wilcoxon's two-sided p-value, and the mean AUROC of each."""

    first: str
    second: str
    sets: int
    mean: tuple[float, float]
    p: float


def delong(labels: npt.ArrayLike, scores: Sequence[npt.ArrayLike]) -> tuple[np.ndarray, np.ndarray]:
    """Compute the AUROCs, float64 (k,), of k ``scores`` (n,) on the same images, and their covariance (k, k).

    Raises ValueError for one class only, and for fewer than two images of either.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
    characteristic curves", Biometrics 1988; computed by midranks as in Sun and Xu, IEEE Signal Processing Letters 2014.
    """
    truth, _ = check_two_classes(labels, scores[0])
    values = np.array([check_two_classes(labels, one)[1] for one in scores])
    m, n = int(truth.sum()), int((~truth).sum())
    if min(m, n) < 2:
        raise ValueError(f"DeLong's test needs two images of each class at least, got {m} defective and {n} good")
    together = np.array([rankdata(one) for one in values])
    defective = np.array([rankdata(one[truth]) for one in values])
    good = np.array([rankdata(one[~truth]) for one in values])
    # Share of good images below each defective one, and of defective images above each good one.
    below, above = (together[:, truth] - defective) / n, 1 - (together[:, ~truth] - good) / m
    covariance = np.atleast_2d(np.cov(below)) / m + np.atleast_2d(np.cov(above)) / n
    return below.mean(1), covariance


class DelongTest(NamedTuple):
    """AUROCs of two runs, the 95 % interval of their difference, and the two-sided p-value that there is none."""

    areas: tuple[float, float]
    low: float
    high: float
    p: float


def delong_test(labels: npt.ArrayLike, first: npt.ArrayLike, second: npt.ArrayLike) -> DelongTest:
    """Test whether the AUROCs of two runs on the same images (n,) differ. Raises ValueError as ``delong`` does."""
    areas, covariance = delong(labels, [first, second])
    difference = float(areas[0] - areas[1])
    deviation = float(np.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0)))
    # Without any deviation the runs rank all pairs of images alike, or one of them all rightly and the other otherwise.
    p = float(2 * norm.sf(abs(difference) / deviation)) if deviation else float(difference == 0)
    margin = float(norm.ppf(0.975)) * deviation
    return DelongTest((float(areas[0]), float(areas[1])), difference - margin, difference + margin, p)


def holm(p_values: npt.ArrayLike) -> np.ndarray:
    """Correct p-values (k,) for being k tests at once (Holm, "A simple sequentially rejective ...", 1979): (k,)."""
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def compare(
    labels: Mapping[str, np.ndarray],
    scores: Mapping[str, Mapping[str, np.ndarray]],
    *,
    regions: Mapping[str, Mapping[str, RegionCurves]] | None = None,
    against: str | None = None,
    seed: int = 0,
) -> tuple[list[Difference], list[AcrossSets]]:
    """Compare every two runs on every data set, and over all of them where there are enough.

    Parameters
    ----------
    labels : mapping of str to bool (n,)
        True = anomalous, by data set.
    scores : mapping of str to mapping of str to float (n,)
        Scores by run, then by data set, in the order of ``labels``.
    regions : mapping of str to mapping of str to RegionCurves, optional
        Overlap of regions by run, then by data set, as far as known, with the images in the order of ``labels``.
    against : str, optional
        Compare this run with each other one, instead of every two.
    seed : int
        Seed of the bootstrap.

    Raises
    ------
    ValueError
        As ``delong`` does.
    """
    pairs = [pair for pair in combinations(scores, 2) if against in (None, *pair)]
    curves = regions or {}
    found = []
    for first, second in pairs:
        for name, truth in labels.items():
            one = _difference(name, truth, (first, second), (scores[first][name], scores[second][name]), seed)
            both = [curves[run][name] for run in (first, second) if name in curves.get(run, {})]
            others = _others(truth, (scores[first][name], scores[second][name]), both, seed)
            found.append(replace(one, others=others))
    found = [replace(one, p_holm=float(p)) for one, p in zip(found, holm([one.p for one in found]), strict=True)]
    for metric in ("image_aupr", "aupro"):
        places = [i for i, one in enumerate(found) if metric in one.others]
        for i, p in zip(places, holm([found[i].others[metric].p for i in places]), strict=True):
            corrected = replace(found[i].others[metric], p_holm=float(p))
            found[i] = replace(found[i], others={**found[i].others, metric: corrected})
    across = [] if len(labels) < FEWEST_SETS else [_across(found, first, second) for first, second in pairs]
    return found, across


def _difference(
    data: str, truth: np.ndarray, names: tuple[str, str], values: tuple[np.ndarray, np.ndarray], seed: int
) -> Difference:
    test = delong_test(truth, *values)
    return Difference(
        data,
        *names,
        n=len(truth),
        auroc=test.areas,
        difference=test.areas[0] - test.areas[1],
        low=test.low,
        high=test.high,
        p=test.p,
        p_holm=test.p,
        bootstrap=paired_difference_ci(truth, *values, seed=seed),
        average_precision=(average_precision(truth, values[0]), average_precision(truth, values[1])),
    )


def _others(
    truth: np.ndarray, scores: Sequence[np.ndarray], regions: Sequence[RegionCurves], seed: int
) -> dict[str, MetricDifference]:
    """Compare average precision and, with the regions of both runs, AUPRO by the same resamples of the images."""
    draws: dict[str, list[np.ndarray]] = {}
    once = np.ones((1, truth.size), np.int64)
    # The first "resample" has each image once: it gives the metrics themselves.
    for weights in chain([once], resample_weights(truth, None, _RESAMPLES, seed)):
        both = [weighted_average_precision(truth, one, weights) for one in scores]
        draws.setdefault("image_aupr", []).append(np.stack(both))
        if len(regions) == 2:
            draws.setdefault("aupro", []).append(np.stack([one.aupro(weights) for one in regions]))
    return {name: _of_draws(np.concatenate(parts, axis=1)) for name, parts in draws.items()}


def _of_draws(values: np.ndarray) -> MetricDifference:
    """Read a test off the metric of both runs, (2, 1 + r): on the images themselves, then on each resample."""
    differences = values[0, 1:] - values[1, 1:]
    low, high = np.quantile(differences, [0.025, 0.975])
    rarer = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    p = min(1.0, 2 * (rarer + 1) / (differences.size + 1))
    first, second = (float(one) for one in values[:, 0])
    return MetricDifference((first, second), first - second, float(low), float(high), p, p)


def _across(found: Sequence[Difference], first: str, second: str) -> AcrossSets:
    own = [one for one in found if (one.first, one.second) == (first, second)]
    areas = np.array([one.auroc for one in own])
    equal = bool((areas[:, 0] == areas[:, 1]).all())
    p = 1.0 if equal else float(wilcoxon(areas[:, 0], areas[:, 1]).pvalue)
    return AcrossSets(first, second, len(own), (float(areas[:, 0].mean()), float(areas[:, 1].mean())), p)
