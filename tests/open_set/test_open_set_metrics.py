"""Open-set metrics against brute force over every threshold, and scikit-learn."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score

from fastener.open_set.decisions import Decisions, measure
from fastener.open_set.metrics import confusion_table, fpr_at_tpr, open_set_f1, oscr

# Few different values, so that ties are common.
VALUES = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=25)


def brute_fpr(known: list[float], unknown: list[float], tpr: float) -> float:
    for threshold in sorted(known):
        if sum(value <= threshold for value in known) / len(known) >= tpr - 1e-12:
            return sum(value <= threshold for value in unknown) / len(unknown)
    raise AssertionError


def brute_oscr(correct: list[bool], known: list[float], unknown: list[float]) -> float:
    """Trapezoids under the curve through every threshold."""
    points = [(0.0, 0.0)]
    for threshold in sorted({*known, *unknown}):
        right = sum(c and k <= threshold for c, k in zip(correct, known, strict=True)) / len(known)
        points.append((sum(u <= threshold for u in unknown) / len(unknown), right))
    return sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairwise(points))


@given(VALUES, VALUES, st.sampled_from([0.5, 0.8, 0.95, 1.0]))
def test_fpr_at_tpr(known: list[float], unknown: list[float], tpr: float) -> None:
    assert fpr_at_tpr(known, unknown, tpr) == pytest.approx(brute_fpr(known, unknown, tpr))


@given(st.lists(st.tuples(st.integers(0, 6).map(float), st.booleans()), min_size=1, max_size=25), VALUES)
def test_oscr(pairs: list[tuple[float, bool]], unknown: list[float]) -> None:
    known, correct = [score for score, _ in pairs], [right for _, right in pairs]
    assert oscr(correct, known, unknown) == pytest.approx(brute_oscr(correct, known, unknown))


def test_oscr_of_a_perfect_and_a_blind_score() -> None:
    assert oscr([True] * 4, [1, 2, 3, 4], [5, 6]) == 1.0
    assert oscr([True, True, False, False], [1, 1, 1, 1], [2, 2]) == 0.5
    assert oscr([True] * 4, [1, 1, 1, 1], [1, 1]) == 0.5


def test_a_case_worked_by_hand() -> None:
    truth = ["a", "a", "b", "b", "unknown", "unknown", "unknown"]
    predicted = ["a", "unknown", "b", "a", "unknown", "b", "no_defect"]
    # a: 1 of 2 found, 1 of 2 right; b: 1 of 2 and 1 of 2; unknown: 1 of 3 found, 1 of 2 right.
    assert open_set_f1(truth, predicted, ["a", "b"]) == pytest.approx((0.5 + 0.5 + 0.4) / 3)
    assert open_set_f1(truth, predicted, ["a", "b"]) == pytest.approx(
        f1_score(truth, predicted, labels=["a", "b", "unknown"], average="macro")
    )
    assert confusion_table(truth, predicted, ["a", "b", "unknown", "no_defect"]) == [
        [1, 0, 1, 0],
        [1, 1, 0, 0],
        [0, 1, 1, 1],
        [0, 0, 0, 0],
    ]


def test_measure_agrees_with_counts_and_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth = np.array(["a"] * 20 + ["b"] * 20 + ["unknown"] * 25)
    named = np.where(rng.random(65) < 0.8, np.where(truth == "unknown", "a", truth), "b")
    scores = rng.normal(size=65) + 1.5 * (truth == "unknown")
    predicted = np.where(scores > 1.0, "unknown", named)
    own = tuple(np.where(truth == "unknown", "c", truth).tolist())
    cutoffs = {"a": 1.0, "b": 1.0}
    decisions = Decisions(
        "one_stage", "knn", ("a", "b"), tuple(truth), own, tuple(named), tuple(predicted), scores, 1.0, 0.05, cutoffs
    )
    figures = measure(decisions, np.arange(65))
    assert figures["closed_set_accuracy"] == pytest.approx((named == truth)[:40].mean(), abs=1e-6)
    assert figures["unknown_auroc"] == pytest.approx(roc_auc_score(truth == "unknown", scores), abs=1e-6)
    low, high = figures["unknown_auroc_ci95"]
    assert low < figures["unknown_auroc"] < high
    assert figures["acceptance_known_test"] == pytest.approx((scores[:40] <= 1).mean(), abs=1e-6)
    assert figures["unknown_rejected"] == pytest.approx((scores[40:] > 1).mean(), abs=1e-6)
    assert (figures["n_known"], figures["n_unknown"]) == (40, 25)
    (strange,) = (one for one in figures["classes"] if not one["known"])
    assert (strange["class"], strange["n"]) == ("c", 25)
    assert strange["called"] == {
        name: int(((named == name) & (scores <= 1))[40:].sum()) for name in sorted(strange["called"])
    }
    assert figures["confusion"]["names"] == ["a", "b", "unknown"]
    assert np.sum(figures["confusion"]["table"]) == 65
    assert Decisions.from_state(decisions.state()).state() == decisions.state()
