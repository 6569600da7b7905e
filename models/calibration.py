"""From raw scores to a decision with a known false-alarm rate, using healthy images only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

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
    def fit(cls, scores: np.ndarray, upper_quantile: float, min_unit: float = 0.0) -> Scale:
        """From healthy scores (n,). ``min_unit`` is the least difference worth a unit of the scale."""
        median, upper = np.quantile(scores, [0.5, upper_quantile])
        # A unit of zero (all healthy scores equal) would make any difference infinite.
        floor = max(min_unit, 1e-6 * max(1.0, abs(float(median))))
        return cls(float(median), max(float(upper - median), floor))

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
