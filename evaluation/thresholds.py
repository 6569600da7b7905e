"""Find a decision threshold on labelled images. The decision everywhere is ``score > threshold``."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fastener.evaluation.metrics import check_inputs, f1_max


def threshold_for_f1(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Find the threshold of the best F1, the highest of equally good ones. Raises ValueError for a single class."""
    return f1_max(labels, scores)[1]


def threshold_for_false_alarms(labels: npt.ArrayLike, scores: npt.ArrayLike, max_share: float) -> float:
    """Find the lowest threshold that flags at most ``max_share`` (0 to 1) of the good images.

    It lies midway to the next score above, where there is one. Raises ValueError without a good image.
    """
    truth, values = check_inputs(labels, scores)
    good = np.sort(values[~truth])
    if not good.size:
        raise ValueError("no good image among the labels")
    # The tolerance keeps 0.29 * 100 = 28.999999999999996 from becoming 28.
    allowed = min(math.floor(max_share * good.size + 1e-9), good.size)
    if allowed == good.size:
        return _below(values, float(values.min()))
    # Ties with the last allowed score would be flagged together with it.
    return _above(values, float(good[good.size - 1 - allowed]))


def threshold_for_recall(labels: npt.ArrayLike, scores: npt.ArrayLike, min_share: float) -> float:
    """Find the highest threshold that flags at least ``min_share`` (0 to 1) of the anomalous images.

    It lies midway to the next score below, where there is one. Raises ValueError without an anomalous image.
    """
    truth, values = check_inputs(labels, scores)
    bad = np.sort(values[truth])
    if not bad.size:
        raise ValueError("no anomalous image among the labels")
    needed = min(math.ceil(min_share * bad.size - 1e-9), bad.size)
    if needed <= 0:
        return float(values.max())
    return _below(values, float(bad[bad.size - needed]))


def _above(values: np.ndarray, score: float) -> float:
    higher = values[values > score]
    return _between(score, float(higher.min())) if higher.size else score


def _below(values: np.ndarray, score: float) -> float:
    lower = values[values < score]
    return _between(float(lower.max()), score) if lower.size else score - (1 + abs(score))


def _between(low: float, high: float) -> float:
    """Return the middle, or ``low`` if no number lies between, so that ``low > t`` fails and ``high > t`` holds."""
    middle = low + (high - low) / 2
    return middle if low <= middle < high else low
