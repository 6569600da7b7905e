"""From raw scores to a decision with a known false-alarm rate, using healthy images only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# Level of the test for gross outliers over all healthy scores together, and the greatest share that it may leave out.
_OUTLIER_LEVEL, _MOST_OUTLIERS = 0.05, 0.1
# 1.4826 median absolute deviations, or the distance from the median to this quantile, are a normal standard deviation.
_MAD_TO_SIGMA, _ONE_SIGMA = 1.4826, 0.84
# On tiles, screws, brushes, commutators and rendered bolts, a normal tail of 2 % holds 4 to 7 % of new healthy photos:
# a tail of this share of alpha comes near to alpha. At most this many times alpha of all healthy scores may lie above.
_NORMAL_SHARE, _MOST_ABOVE = 0.4, 2.0
# Scores in the highest fifth say how far the tail reaches. Outliers use up at most half of alpha.
_TAIL_FROM, _LEAST_IN_TAIL, _LEAST_LEFT = 0.8, 3, 0.5
# What is expected of healthy scores before any is seen counts as much as six photos, and less where there are more than
# eight: two to eight photos say little of their own spread, and a t quantile of one to three degrees of freedom lets
# nearly every defect pass.
_PRIOR_FREEDOM, _FEW = 6.0, 8
# At the median healthy score the confidence in "normal" is 1 / (1 + exp(-3)) = 95 %.
_CONFIDENCE_STEEPNESS = 3.0


@dataclass(frozen=True)
class Scale:
    """A common scale for kinds of evidence: 0 = the median healthy part, 1 = its upper quantile.

    Median and a quantile, not mean and deviation: healthy scores have heavy tails, and one odd photo must not set the
    unit.
    """

    median: float
    unit: float

    @classmethod
    def fit(
        cls, scores: np.ndarray, upper_quantile: float, min_unit: float = 0.0, *, prior_spread: float = 0.0
    ) -> Scale:
        """Fit the scale to healthy scores (n,).

        ``min_unit`` is the least difference worth a unit of the scale. ``prior_spread`` is the unit, in parts of the
        median, that is expected before any score is seen; it matters with few scores only, and 0 expects nothing.
        """
        median, upper = np.quantile(scores, [0.5, upper_quantile])
        unit = float(upper - median)
        if prior_spread:
            n, prior = len(scores), _prior_freedom(len(scores))
            unit = math.sqrt((prior * (prior_spread * float(median)) ** 2 + n * unit**2) / (prior + n))
        # A unit of zero (all healthy scores equal) would make any difference infinite.
        floor = max(min_unit, 1e-6 * max(1.0, abs(float(median))))
        return cls(float(median), max(unit, floor))

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Raw scores of any shape -> calibrated scores of the same shape."""
        return (scores - self.median) / self.unit


def conformal_threshold(healthy: np.ndarray, alpha: float) -> tuple[float, float]:
    """Threshold t, and the alpha it stands for, such that ``score > t`` flags at most alpha of healthy parts.

    Split conformal prediction (Vovk et al. 2005; Angelopoulos and Bates 2021, section 1): t is the k-th smallest of n
    healthy scores, k = ceil((n + 1)(1 - alpha)). If n is too small for alpha (k > n), t is the largest healthy score
    and the alpha returned is 1 / (n + 1), the smallest that n images support. The guarantee is an average over
    calibration sets, for parts exchangeable with those of ``healthy`` (n,), which the bank must not have seen.
    """
    ordered = np.sort(np.asarray(healthy, float))
    n = len(ordered)
    # The tolerance keeps (n + 1)(1 - alpha) = 95.00000000000001 from becoming 96.
    rank = max(1, math.ceil((n + 1) * (1 - alpha) - 1e-9))
    if rank > n:
        return float(ordered[-1]), 1 / (n + 1)
    return float(ordered[rank - 1]), alpha


@dataclass(frozen=True)
class HealthyTail:
    """A threshold that one odd photo among the healthy ones cannot spoil, and what it rests on.

    Parameters
    ----------
    threshold : float
        A score above it is anomalous.
    expected : float, 0 to 1
        Share of healthy parts above the threshold, if healthy scores are normal but for the outliers.
    bound : float, 0 to 1
        (1 + number of healthy scores above the threshold, outliers among them) / (n + 1): the share that the healthy
        scores themselves vouch for, as in split conformal prediction.
    outliers : int64 (k,)
        Indices of healthy scores so far above the rest that they were left out of the fit.
    """

    threshold: float
    expected: float
    bound: float
    outliers: np.ndarray


def robust_threshold(healthy: np.ndarray, alpha: float, *, prior_deviation: float = 0.0) -> HealthyTail:
    """Find the normal prediction limit of healthy scores (n,) at ``alpha``, without gross outliers.

    The threshold is mean + t(1 - alpha; n - 1) * s * sqrt(1 + 1 / n), above which one more normal score lies with
    probability alpha (Hahn and Meeker 1991, section 4.2). With ``prior_deviation`` p, the deviation that is expected
    before any score is seen, s**2 is the mean of (n - 1 times) the scores' variance and (6 times) p**2, and t has 6
    more degrees of freedom: the limit under a scaled inverse chi-squared prior of the variance (Gelman et al. 2013,
    "Bayesian Data Analysis", section 3.3). Beyond 8 scores these 6 fade with (8 / n)**2.

    Raises ValueError for fewer than two scores.
    """
    values = np.asarray(healthy, float)
    outliers = gross_outliers(values)
    kept = np.delete(values, outliers)
    n = len(kept)
    if n < 2:
        raise ValueError(f"a threshold needs at least two healthy scores, got {n}")
    prior = _prior_freedom(n) if prior_deviation else 0.0
    freedom = n - 1 + prior
    deviation = math.sqrt((prior * prior_deviation**2 + (n - 1) * kept.var(ddof=1)) / freedom)
    threshold = float(kept.mean() + _t_quantile(freedom, 1 - alpha) * deviation * math.sqrt(1 + 1 / n))
    return HealthyTail(threshold, alpha, false_alarm_rate(values, threshold), outliers)


def robust_thresholds(healthy: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Find the ``robust_threshold`` of each column of healthy scores (n, k): the thresholds (k,), and bool (n, k).

    The latter is false for the gross outliers, which are left out.
    """
    values = np.asarray(healthy, float)
    kept = ~_are_outliers(values)
    n = kept.sum(axis=0)
    mean = (values * kept).sum(axis=0) / n
    deviation = np.sqrt(((values - mean) ** 2 * kept).sum(axis=0) / (n - 1))
    quantiles = np.array([_t_quantile(one - 1, 1 - alpha) for one in n.tolist()])
    return mean + quantiles * deviation * np.sqrt(1 + 1 / n), kept


def healthy_threshold(healthy: np.ndarray, alpha: float, *, prior_deviation: float = 0.0) -> HealthyTail:
    """Find the threshold that at most about ``alpha`` of healthy parts exceed, from nearly normal scores (n,).

    It is the highest of three limits. The first is the robust limit of a normal tail narrower than alpha, since healthy
    scores lean to the right. The second is that of an exponential tail, for sets whose kinds of parts differ in how
    much they vary: the tail is that of the most varied kind. Outliers may be sound parts, and as many new parts will
    then lie above any threshold that does not heed them; so only what they leave of alpha, but at least half of it, may
    lie above this limit. Thirdly at most twice alpha of all scores may lie above the threshold, of so few photos that
    this is none (twice alpha of them is less than two) only the outliers. ``bound`` is alpha or more.
    ``prior_deviation`` is as in ``robust_threshold``; raises ValueError for fewer than two scores.
    """
    tail = robust_threshold(healthy, _NORMAL_SHARE * alpha, prior_deviation=prior_deviation)
    kept = np.delete(np.asarray(healthy, float), tail.outliers)
    left = max(alpha - len(tail.outliers) / len(healthy), _LEAST_LEFT * alpha)
    most = min(_MOST_ABOVE * alpha, 0.5)
    few = most * (len(healthy) + 1) < 2 - 1e-9
    usual = conformal_threshold(kept if few else healthy, most)[0]
    threshold = max(tail.threshold, _exponential_limit(kept, left), usual)
    return HealthyTail(threshold, alpha, max(alpha, false_alarm_rate(healthy, threshold)), tail.outliers)


def _exponential_limit(values: np.ndarray, share: float) -> float:
    """Find the value that a ``share`` of scores (n,) exceed, if those in the highest fifth are exponential.

    Peaks over a threshold (Coles 2001, "An Introduction to Statistical Modeling of Extreme Values", section 4.3, with
    the shape zero, to which a normal tail belongs as well). -inf where fewer than three scores are in the tail.
    """
    start = float(np.quantile(values, _TAIL_FROM))
    excess = values[values > start] - start
    if len(excess) < _LEAST_IN_TAIL or share >= 1 - _TAIL_FROM:
        return -math.inf
    return start + float(excess.mean()) * math.log((1 - _TAIL_FROM) / share)


def _prior_freedom(n: int) -> float:
    """Weigh what is expected of n scores before they are seen, in degrees of freedom."""
    return _PRIOR_FREEDOM * min(1.0, (_FEW / n) ** 2)


def _t_quantile(freedom: float, level: float) -> float:
    """Return the quantile of Student's t; scipy, which loads slowly, is imported by those who calibrate only."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, level))


def gross_outliers(values: np.ndarray) -> np.ndarray:
    """Find scores far above the rest of ``values`` (n,): their indices int64 (k,), the highest first.

    A score is an outlier if it lies above the median by more robust standard deviations than t(1 - 0.05 / n; n / 2), so
    that 5 % of clean collections lose one (Bonferroni). The deviation is the larger of 1.4826 median absolute
    deviations and the distance to the 84 % quantile, since healthy scores lean to the right. At most a tenth is left
    out.
    """
    values = np.asarray(values, float)
    found = np.flatnonzero(_are_outliers(values[:, None]))
    return found[np.argsort(-values[found], kind="stable")]


def _are_outliers(values: np.ndarray) -> np.ndarray:
    """Tell which scores of each column of ``values`` (n, k) are gross outliers of their column: bool (n, k)."""
    n = len(values)
    ordered = np.sort(values, axis=0)
    median, upper = _quantile(ordered, 0.5), _quantile(ordered, _ONE_SIGMA)
    usual = np.median(np.abs(values - median), axis=0)
    sigma = np.maximum(np.maximum(_MAD_TO_SIGMA * usual, upper - median), 1e-9)
    limit = _t_quantile(max(3.0, n / 2), 1 - _OUTLIER_LEVEL / n)
    ranks = np.argsort(np.argsort(-values, axis=0, kind="stable"), axis=0)
    return np.asarray(((values - median) / sigma > limit) & (ranks < math.ceil(_MOST_OUTLIERS * n)))


def _quantile(ordered: np.ndarray, share: float) -> np.ndarray:
    """Quantile of each column of sorted values (n, k), between the nearest two: (k,)."""
    at = share * (len(ordered) - 1)
    low = ordered[math.floor(at)]
    return np.asarray(low + (at - math.floor(at)) * (ordered[math.ceil(at)] - low))


def false_alarm_rate(healthy: np.ndarray, threshold: float) -> float:
    """The share of healthy parts that ``score > threshold`` flags at most: ``conformal_threshold`` the other way round.

    (1 + number of healthy scores > threshold) / (n + 1); no threshold promises less than 1 / (n + 1).
    """
    return (1 + int((np.asarray(healthy, float) > threshold).sum())) / (len(healthy) + 1)


def p_values(healthy: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Conformal p-values: (1 + number of healthy scores >= score) / (n + 1), same shape as ``scores``."""
    ordered = np.sort(np.asarray(healthy, float))
    not_below = len(ordered) - np.searchsorted(ordered, np.asarray(scores, float), side="left")
    return (1 + not_below) / (len(ordered) + 1)


def confidence(scores: np.ndarray, threshold: float, median: float) -> np.ndarray:
    """How decisive the verdict is, 0.5 to 1: 0.5 at the threshold, rising on both sides.

    A logistic in units of the distance from the healthy median to the threshold: 95 % for the median healthy part,
    and 95 % as far above the threshold again. It says how far from the border a score lies, not how often such
    verdicts are right; the p-value says that.
    """
    unit = max(threshold - median, 1e-9)
    distance = np.minimum(np.abs(np.asarray(scores, float) - threshold) / unit * _CONFIDENCE_STEEPNESS, 700)
    return 1 / (1 + np.exp(-distance))
