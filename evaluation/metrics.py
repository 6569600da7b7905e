"""Compute image-level metrics on raw scores.

Conventions: ``labels`` is bool (n,), True = anomalous; ``scores`` is float (n,), higher = more anomalous, unclamped; an
image is flagged when ``score > threshold``. If the data do not define a value (one class only, nothing flagged), the
value is None in a table of results, and the function that computes this value alone raises ValueError. NaN or infinite
scores raise ValueError.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import beta
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from fastener.common.intervals import wilson_interval
from fastener.evaluation.resampling import (
    Bools,
    Floats,
    group_index,
    resample_weights,
    weighted_auroc,
    weighted_average_precision,
)

Metric = Callable[[Bools, Floats], float]
MetricValue = float | int | list[float] | None


@dataclass(frozen=True)
class Confusion:
    """Counts of decisions; anomalous is the positive class. A ratio whose denominator is 0 is None.

    Parameters
    ----------
    tn, fp : int
        Good images that passed, and good images that were flagged.
    fn, tp : int
        Anomalous images that passed, and anomalous images that were flagged.

    Examples
    --------
    >>> counts = Confusion(tn=8, fp=2, fn=1, tp=4)
    >>> counts.recall, counts.false_positive_rate
    (0.8, 0.2)
    """

    tn: int
    fp: int
    fn: int
    tp: int

    @property
    def accuracy(self) -> float | None:
        """Share of images with the right decision, 0 to 1."""
        return _ratio(self.tn + self.tp, self.tn + self.fp + self.fn + self.tp)

    @property
    def balanced_accuracy(self) -> float | None:
        """Mean of the share of good images that passed and of anomalous images that were flagged, 0 to 1."""
        recall, false_alarms = self.recall, self.false_positive_rate
        return None if recall is None or false_alarms is None else (recall + 1 - false_alarms) / 2

    @property
    def precision(self) -> float | None:
        """Share of flagged images that are anomalous, 0 to 1."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        """Share of anomalous images that are flagged, 0 to 1."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall, 0 to 1."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def false_positive_rate(self) -> float | None:
        """Share of good images that are flagged, 0 to 1."""
        return _ratio(self.fp, self.fp + self.tn)


def check_inputs(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Bools, Floats]:
    """Return labels as bool (n,) and scores as float64 (n,), or raise ValueError with the reason."""
    truth, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != values.shape:
        raise ValueError(f"labels {truth.shape} and scores {values.shape} must be two lists of the same length")
    if truth.size and truth.dtype != np.bool_ and not np.isin(truth, (0, 1)).all():
        raise ValueError("labels must be True/False or 0/1")
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise ValueError(f"{bad} of {values.size} scores are NaN or infinite")
    return truth.astype(np.bool_), values


def check_two_classes(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Bools, Floats]:
    """Check as `check_inputs` does, and raise ValueError if the labels hold one class only."""
    truth, values = check_inputs(labels, scores)
    if truth.all() or not truth.any():
        raise ValueError(f"needs good and anomalous images; got {int(truth.sum())} anomalous of {truth.size}")
    return truth, values


def auroc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Estimate the probability that an anomalous image scores above a good one; ties count half.

    >>> auroc([False, False, True, True], [0.1, 0.4, 0.4, 0.9])
    0.875
    """
    return float(roc_auc_score(*check_two_classes(labels, scores)))


def average_precision(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Compute the area under the precision-recall steps, without interpolation (AUPR).

    If all scores are equal, this is the share of anomalous images.
    """
    return float(average_precision_score(*check_two_classes(labels, scores)))


def f1_max(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[float, float]:
    """Find the best F1 over all thresholds, and a threshold that gives it under ``score > threshold``.

    The threshold is the midpoint between the lowest flagged score and the next lower score, so that rounding a score
    does not change a decision. If flagging every image is best, it is the lowest score minus (1 + |lowest score|). Of
    equally good thresholds the highest is returned, which flags the fewest images. The threshold is chosen on the same
    data that F1 is measured on: the result is an upper bound, not an estimate of F1 with a calibrated threshold.
    """
    truth, values = check_two_classes(labels, scores)
    precision, recall, levels = precision_recall_curve(truth, values)
    total = precision[:-1] + recall[:-1]
    f1 = np.divide(2 * precision[:-1] * recall[:-1], total, out=np.zeros_like(total), where=total > 0)
    best = int(np.flatnonzero(f1 >= f1.max() - 1e-12)[-1])
    high = float(levels[best])
    lower = values[values < high]
    if not lower.size:
        return float(f1[best]), high - (1.0 + abs(high))
    low = float(lower.max())
    middle = low / 2 + high / 2
    # The midpoint of neighbouring floats rounds to one of them; the lower one still separates the two scores.
    return float(f1[best]), middle if low <= middle < high else low


def confusion(labels: npt.ArrayLike, scores: npt.ArrayLike, threshold: npt.ArrayLike) -> Confusion:
    """Count decisions ``score > threshold`` against the labels. Raises ValueError if a threshold is NaN."""
    truth, values = check_inputs(labels, scores)
    if np.isnan(threshold).any():
        raise ValueError("the threshold is NaN")
    return count_decisions(truth, values > np.asarray(threshold, float))


def count_decisions(labels: npt.ArrayLike, flagged: npt.ArrayLike) -> Confusion:
    """Count decisions ``flagged`` (n,) against the labels (n,)."""
    truth, flagged = np.asarray(labels, bool), np.asarray(flagged, bool)
    counts = [int(np.count_nonzero((truth == t) & (flagged == f))) for t in (False, True) for f in (False, True)]
    return Confusion(*counts)


def bootstrap_ci(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    metric: Metric = auroc,
    *,
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    groups: npt.ArrayLike | None = None,
) -> tuple[float, float]:
    """Compute the percentile bootstrap interval of a metric, stratified by class.

    Parameters
    ----------
    labels, scores : array (n,)
        Labels, True = anomalous, and raw scores.
    metric : callable
        ``metric(labels, scores)`` returns the value of one resample.
    n_resamples : int
        Number of resamples, at least 1.
    level : float
        Coverage of the interval, between 0 and 1.
    seed : int
        Seed of the resampling.
    groups : array (n,), optional
        Name of each image's group. Whole groups are drawn, so that copies of one photo stay together. Groups with only
        good, only anomalous, and both kinds of images are three strata.

    Returns
    -------
    tuple of float
        Lower and upper limit. If the classes are separated perfectly, the interval of AUROC is (1, 1), because no
        resample contains an error that the sample does not contain.

    References
    ----------
    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    truth, values = check_two_classes(labels, scores)
    if not 0 < level < 1 or n_resamples < 1:
        raise ValueError(f"level {level} must lie between 0 and 1 and n_resamples {n_resamples} be at least 1")
    results: list[float] = []
    for weights in resample_weights(truth, groups, n_resamples, seed):
        if metric in _WEIGHTED:
            results.extend(_WEIGHTED[metric](truth, values, weights))
        else:
            results.extend(metric(np.repeat(truth, row), np.repeat(values, row)) for row in weights)
    low, high = np.quantile(results, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def proportion_ci(successes: float, trials: float, level: float = 0.95) -> tuple[float, float]:
    """Compute the Clopper-Pearson interval of a proportion, with coverage of at least ``level``.

    ``successes`` and ``trials`` may be fractions, such as effective sample sizes.

    >>> [round(limit, 3) for limit in proportion_ci(9, 10)]
    [0.555, 0.997]
    """
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, successes, trials - successes + 1)) if successes > 0 else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, trials - successes)) if successes < trials else 1.0
    return low, high


def share_ci(count: int, groups: npt.ArrayLike) -> list[float] | None:
    """Bound the share of ``count`` in n images by its 95 % Wilson interval; None without images.

    ``groups`` int (n,) numbers the photo that each image is a copy of. Copies of one photo agree, so a group of ten is
    not ten independent observations: the interval is that of Kish's effective sample size.
    """
    sizes = np.bincount(np.asarray(groups, np.intp))
    if not sizes.sum():
        return None
    effective = float(sizes.sum() ** 2 / (sizes**2).sum())
    return list(wilson_interval(count / sizes.sum() * effective, effective))


def image_metrics(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    threshold: npt.ArrayLike,
    *,
    flagged: npt.ArrayLike | None = None,
    groups: npt.ArrayLike | None = None,
    seed: int = 0,
) -> dict[str, MetricValue]:
    """Compute all image-level metrics in one flat dict, ready for JSON; None where the data do not define a value.

    ``f1_max`` is the best F1 over all thresholds. All figures from accuracy on hold for ``threshold``: one number, or
    one for each image (n,). ``flagged`` (n,) gives the decisions where they are not ``score > threshold`` alone.
    Intervals are [low, high] at 95 %: `bootstrap_ci` for AUROC, `wilson_interval` for shares. With ``groups``, all of
    them count copies of one photo as one observation.
    """
    truth, values = check_inputs(labels, scores)
    index = group_index(groups, truth.size)
    counts = confusion(truth, values, threshold) if flagged is None else count_decisions(truth, flagged)
    result: dict[str, MetricValue] = dict.fromkeys(
        ("image_auroc", "image_auroc_ci95", "image_aupr", "image_aupr_ci95", "f1_max", "f1_max_threshold")
    )
    if truth.any() and not truth.all():
        best_f1, best_threshold = f1_max(truth, values)
        result = {
            "image_auroc": auroc(truth, values),
            "image_auroc_ci95": list(bootstrap_ci(truth, values, seed=seed, groups=index)),
            "image_aupr": average_precision(truth, values),
            "image_aupr_ci95": list(bootstrap_ci(truth, values, average_precision, seed=seed, groups=index)),
            "f1_max": best_f1,
            "f1_max_threshold": best_threshold,
        }
    return result | {
        "n_images": int(truth.size),
        "n_good": int((~truth).sum()),
        "n_anomalous": int(truth.sum()),
        "n_defects_found": counts.tp,
        "n_false_alarms": counts.fp,
        "accuracy": counts.accuracy,
        "balanced_accuracy": counts.balanced_accuracy,
        "precision": counts.precision,
        "recall": counts.recall,
        "recall_ci95": share_ci(counts.tp, index[truth]),
        "f1": counts.f1,
        "false_positive_rate": counts.false_positive_rate,
        "false_positive_rate_ci95": share_ci(counts.fp, index[~truth]),
    }


def paired_difference_ci(
    labels: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    metric: Metric = auroc,
    *,
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    groups: npt.ArrayLike | None = None,
) -> tuple[float, float]:
    """Compute the paired percentile bootstrap interval of a metric's difference on the same images (n,).

    ``metric`` is ``auroc`` or ``average_precision``, of ``first`` less that of ``second``. The other parameters are
    those of ``bootstrap_ci``. Each resample draws the same images for both.
    """
    truth, one = check_two_classes(labels, first)
    _, other = check_two_classes(labels, second)
    weighted = _WEIGHTED[metric]
    differences: list[float] = []
    for weights in resample_weights(truth, groups, n_resamples, seed):
        differences.extend(weighted(truth, one, weights) - weighted(truth, other, weights))
    low, high = np.quantile(differences, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


# Metrics of many resamples at once.
_WEIGHTED: dict[Metric, Callable[[Bools, Floats, npt.NDArray[np.int64]], Floats]] = {
    auroc: weighted_auroc,
    average_precision: weighted_average_precision,
}
