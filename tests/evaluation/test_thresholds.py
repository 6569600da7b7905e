"""Thresholds against a search over every cut between scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastener.evaluation.thresholds import threshold_for_f1, threshold_for_false_alarms, threshold_for_recall

CASES = st.lists(st.tuples(st.booleans(), st.integers(-4, 4)), min_size=2, max_size=24).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


def split(rows: list[tuple[bool, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([label for label, _ in rows]), np.array([score for _, score in rows], float)


def cuts(scores: np.ndarray) -> np.ndarray:
    """A threshold in every gap, one below and one at the top: all decisions there are."""
    levels = np.unique(scores)
    return np.concatenate([[levels[0] - 1], (levels[1:] + levels[:-1]) / 2, [levels[-1]]])


@settings(deadline=None)
@given(CASES, st.sampled_from([0.0, 0.01, 0.1, 0.29, 0.5, 1.0]))
def test_false_alarms_are_held_and_no_lower_cut_holds_them(rows: list[tuple[bool, int]], share: float) -> None:
    labels, scores = split(rows)
    threshold = threshold_for_false_alarms(labels, scores, share)
    good = scores[~labels]
    allowed = [cut for cut in cuts(scores) if (good > cut).mean() <= share + 1e-12]
    assert ((scores > threshold) == (scores > min(allowed))).all()


@settings(deadline=None)
@given(CASES, st.sampled_from([0.0, 0.01, 0.3, 0.5, 0.99, 1.0]))
def test_recall_is_reached_and_no_higher_cut_reaches_it(rows: list[tuple[bool, int]], share: float) -> None:
    labels, scores = split(rows)
    threshold = threshold_for_recall(labels, scores, share)
    bad = scores[labels]
    reached = [cut for cut in cuts(scores) if (bad > cut).mean() >= share - 1e-12]
    assert ((scores > threshold) == (scores > max(reached))).all()


@settings(deadline=None)
@given(CASES)
def test_f1_is_the_best_of_all_cuts(rows: list[tuple[bool, int]]) -> None:
    labels, scores = split(rows)

    def f1(cut: float) -> float:
        flagged = scores > cut
        return 2 * (flagged & labels).sum() / (flagged.sum() + labels.sum())

    assert f1(threshold_for_f1(labels, scores)) == pytest.approx(max(f1(cut) for cut in cuts(scores)))


def test_one_class_is_an_error() -> None:
    with pytest.raises(ValueError, match="no good image"):
        threshold_for_false_alarms([True, True], [1.0, 2.0], 0.1)
    with pytest.raises(ValueError, match="no anomalous image"):
        threshold_for_recall([False, False], [1.0, 2.0], 0.9)


def test_neighbouring_floats_are_still_told_apart() -> None:
    low = 1.0
    high = float(np.nextafter(low, 2))
    threshold = threshold_for_false_alarms([False, True], [low, high], 0.0)
    assert not low > threshold
    assert high > threshold
