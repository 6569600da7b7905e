"""Image-level metrics against brute force, scipy and hand-worked numbers."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
from data_factory import ROOT
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, mannwhitneyu
from sklearn.metrics import balanced_accuracy_score

from fastener.evaluation.metrics import (
    Confusion,
    auroc,
    average_precision,
    bootstrap_ci,
    confusion,
    f1_max,
    image_metrics,
    proportion_ci,
)

finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)
few_levels = st.integers(-3, 3).map(float)


@st.composite
def two_class_data(draw: st.DrawFn, score: st.SearchStrategy[float] = finite | few_levels) -> tuple:
    good = draw(st.lists(score, min_size=1, max_size=12))
    anomalous = draw(st.lists(score, min_size=1, max_size=12))
    order = draw(st.permutations(range(len(good) + len(anomalous))))
    labels = np.array([False] * len(good) + [True] * len(anomalous))[order]
    return labels, np.array(good + anomalous)[order]


def sample(n_good: int, n_anomalous: int, shift: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.r_[np.zeros(n_good, bool), np.ones(n_anomalous, bool)]
    return labels, rng.normal(size=labels.size) + shift * labels


@given(two_class_data())
def test_auroc_is_mann_whitney_u(data: tuple) -> None:
    labels, scores = data
    u = mannwhitneyu(scores[labels], scores[~labels]).statistic
    assert auroc(labels, scores) == pytest.approx(u / (labels.sum() * (~labels).sum()), abs=1e-12)


@given(two_class_data(few_levels))
def test_average_precision_is_the_sum_over_thresholds(data: tuple) -> None:
    labels, scores = data
    total = 0.0
    for level in np.unique(scores):
        new_recall = (labels & (scores == level)).sum() / labels.sum()
        total += new_recall * labels[scores >= level].mean()
    assert average_precision(labels, scores) == pytest.approx(total, abs=1e-12)


@given(two_class_data())
def test_f1_max_is_the_best_of_all_and_its_threshold_reaches_it(data: tuple) -> None:
    labels, scores = data
    best = max(
        2 * (labels & (scores >= level)).sum() / ((scores >= level).sum() + labels.sum()) for level in np.unique(scores)
    )
    value, threshold = f1_max(labels, scores)
    assert value == pytest.approx(best, abs=1e-12)
    assert confusion(labels, scores, threshold).f1 == pytest.approx(best, abs=1e-12)


def test_f1_max_threshold_is_the_midpoint_and_the_highest_of_equals() -> None:
    assert f1_max([0, 0, 1, 1], [1.0, 2.0, 4.0, 5.0]) == (1.0, 3.0)
    # Flagging {5} gives F1 = 2/3, flagging everything too: 2*2/(4+2).
    assert f1_max([1, 0, 0, 1], [1.0, 2.0, 3.0, 5.0]) == (pytest.approx(2 / 3), 4.0)


@pytest.mark.parametrize("low", [1.0, np.nextafter(1.0, 2.0)])
def test_f1_max_threshold_separates_neighbouring_floats(low: float) -> None:
    labels, scores = [False, True], [low, np.nextafter(low, 2.0)]
    assert confusion(labels, scores, f1_max(labels, scores)[1]) == Confusion(tn=1, fp=0, fn=0, tp=1)


def test_f1_max_threshold_below_everything_survives_float32() -> None:
    value, threshold = f1_max([1, 0, 1, 1], np.array([0.1, 0.2, 0.3, 0.15], np.float32))
    assert value == pytest.approx(6 / 7)
    assert threshold == pytest.approx(-1.0)
    assert (np.array([0.1, 0.15], np.float32) > np.float32(threshold)).all()


def test_constant_scores() -> None:
    labels, scores = [True, False, False, False], [7.0] * 4
    assert auroc(labels, scores) == 0.5
    assert average_precision(labels, scores) == 0.25
    assert bootstrap_ci(labels, scores) == (0.5, 0.5)
    assert f1_max(labels, scores) == (pytest.approx(0.4), -1.0)


@pytest.mark.parametrize("function", [auroc, average_precision, f1_max, bootstrap_ci])
@pytest.mark.parametrize("labels", [[True, True], [False, False], []])
def test_one_class_is_a_value_error(function: Callable[..., object], labels: list[bool]) -> None:
    with pytest.raises(ValueError, match="good and anomalous"):
        function(labels, [0.5] * len(labels))


@pytest.mark.parametrize("function", [auroc, average_precision, f1_max, bootstrap_ci])
def test_not_finite_scores_are_counted(function: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match="2 of 4 scores"):
        function([True, False, True, False], [1.0, np.nan, np.inf, 0.0])
    with pytest.raises(ValueError, match="2 of 4 scores"):
        image_metrics([True, False, True, False], [1.0, np.nan, -np.inf, 0.0], 0.5)


def test_wrong_inputs_are_value_errors() -> None:
    with pytest.raises(ValueError, match="same length"):
        auroc([True, False], [1.0])
    with pytest.raises(ValueError, match="0/1"):
        auroc([0, 2], [1.0, 2.0])
    with pytest.raises(ValueError, match="NaN"):
        confusion([0, 1], [1.0, 2.0], float("nan"))
    with pytest.raises(ValueError, match="groups"):
        bootstrap_ci([0, 1], [1.0, 2.0], groups=["a"])


def test_confusion_by_hand() -> None:
    counts = confusion([0, 0, 0, 1, 1], [1.0, 2.0, 3.0, 2.0, 3.0], threshold=2.0)
    assert counts == Confusion(tn=2, fp=1, fn=1, tp=1)  # a score at the threshold is not flagged
    assert counts.accuracy == 3 / 5
    assert counts.precision == counts.recall == counts.f1 == 1 / 2
    assert counts.false_positive_rate == 1 / 3


def test_ratios_without_a_base_are_none() -> None:
    nothing = Confusion(0, 0, 0, 0)
    assert [nothing.accuracy, nothing.precision, nothing.recall, nothing.f1, nothing.false_positive_rate] == [None] * 5
    assert Confusion(tn=3, fp=0, fn=2, tp=0).precision is None
    assert Confusion(tn=3, fp=0, fn=2, tp=0).f1 == 0.0


def test_bootstrap_fast_path_equals_the_plain_one() -> None:
    labels, scores = sample(15, 25, 1.0)
    scores = np.round(scores, 1)  # with ties
    groups = np.arange(40) // 2
    for names in (None, groups):
        plain = bootstrap_ci(labels, scores, metric=lambda t, s: auroc(t, s), n_resamples=200, groups=names)
        assert bootstrap_ci(labels, scores, n_resamples=200, groups=names) == pytest.approx(plain, abs=1e-12)


def test_bootstrap_agrees_with_delong() -> None:
    labels, scores = sample(150, 100, 1.0)
    wins = scores[labels][:, None] > scores[~labels]
    deviation = np.sqrt(wins.mean(axis=1).var(ddof=1) / 100 + wins.mean(axis=0).var(ddof=1) / 150)
    interval = bootstrap_ci(labels, scores, n_resamples=20_000)
    expected = np.array([-1.96, 1.96]) * deviation + auroc(labels, scores)
    assert np.allclose(interval, expected, atol=0.1 * deviation)


def test_bootstrap_is_quick_seeded_and_nested() -> None:
    labels, scores = sample(60, 100, 1.0)
    start = time.process_time()
    interval = bootstrap_ci(labels, scores)
    assert time.process_time() - start < 1.0
    assert interval == bootstrap_ci(labels, scores) != bootstrap_ci(labels, scores, seed=1)
    narrow = bootstrap_ci(labels, scores, level=0.5)
    assert interval[0] < narrow[0] < narrow[1] < interval[1]


def test_copies_do_not_narrow_the_interval_when_grouped() -> None:
    labels, scores = sample(30, 30, 1.0)
    low, high = bootstrap_ci(labels, scores)
    copied = np.tile(labels, 4), np.tile(scores, 4)
    together = bootstrap_ci(*copied, groups=np.tile([f"photo {i}" for i in range(60)], 4))
    apart = bootstrap_ci(*copied)
    assert together == pytest.approx((low, high), abs=1e-12)
    assert apart[1] - apart[0] < 0.7 * (high - low)


def test_groups_that_hold_both_classes_are_drawn_whole() -> None:
    labels, scores = np.array([0, 1, 0, 1], bool), np.array([0.0, 1.0, 2.0, 3.0])
    seen: list[tuple] = []

    def record(truth: np.ndarray, values: np.ndarray) -> float:
        seen.append(tuple(sorted(values)))
        return 0.0

    bootstrap_ci(labels, scores, metric=record, n_resamples=50, groups=["a", "a", "b", "b"])
    assert set(seen) == {(0, 0, 1, 1), (0, 1, 2, 3), (2, 2, 3, 3)}
    seen.clear()
    # One group of each kind: every draw takes each of them once.
    bootstrap_ci([0, 1, 1, 1, 0, 0], np.arange(6.0), metric=record, n_resamples=50, groups=[7, 7, 3, 3, 5, 5])
    assert set(seen) == {(0, 1, 2, 3, 4, 5)}


@given(st.integers(0, 40), st.integers(0, 40))
def test_proportion_interval_is_clopper_pearson(successes: int, failures: int) -> None:
    trials = successes + failures + 1
    expected = binomtest(successes, trials).proportion_ci(0.95, method="exact")
    assert proportion_ci(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_image_metrics_holds_every_value_and_is_json() -> None:
    labels, scores = sample(40, 60, 1.5)
    result = image_metrics(labels, scores, threshold=1.0, seed=3)
    counts = confusion(labels, scores, 1.0)
    alarms = binomtest(counts.fp, 40).proportion_ci(0.95, method="wilson")
    found = binomtest(counts.tp, 60).proportion_ci(0.95, method="wilson")
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["image_auroc"] == auroc(labels, scores)
    assert result["image_auroc_ci95"] == list(bootstrap_ci(labels, scores, seed=3))
    assert result["image_aupr"] == average_precision(labels, scores)
    assert (result["f1_max"], result["f1_max_threshold"]) == f1_max(labels, scores)
    assert (result["n_images"], result["n_anomalous"]) == (100, 60)
    assert result["accuracy"] == counts.accuracy
    assert result["f1"] == counts.f1
    assert result["precision"] == counts.precision
    assert result["recall"] == counts.recall
    assert result["false_positive_rate"] == counts.false_positive_rate
    assert result["false_positive_rate_ci95"] == pytest.approx([alarms.low, alarms.high])
    assert result["recall_ci95"] == pytest.approx([found.low, found.high])
    assert (result["n_good"], result["n_defects_found"], result["n_false_alarms"]) == (40, counts.tp, counts.fp)
    assert result["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, scores > 1.0))


@pytest.mark.parametrize("labels", [[False] * 3, [True] * 3, []])
def test_image_metrics_of_one_class_keep_their_keys(labels: list[bool]) -> None:
    result = image_metrics(labels, [1.0, 2.0, 3.0][: len(labels)], threshold=2.5)
    assert result.keys() == image_metrics([True, False], [1.0, 2.0], 0.0).keys()
    assert result["image_auroc"] is result["image_auroc_ci95"] is result["f1_max_threshold"] is None
    assert result["n_images"] == len(labels)
    expected_rate = pytest.approx(1 / 3) if labels and not labels[0] else None
    assert result["false_positive_rate"] == expected_rate
    assert (result["false_positive_rate_ci95"] is None) == (expected_rate is None)


def test_copies_count_once_in_the_false_positive_interval() -> None:
    labels, scores = [False] * 20, [0.0] * 20
    alone = image_metrics(labels, scores, 1.0)["false_positive_rate_ci95"]
    pairs = image_metrics(labels, scores, 1.0, groups=np.arange(20) // 2)["false_positive_rate_ci95"]
    # With none found, Wilson's upper limit is z^2 / (n + z^2).
    assert alone == pytest.approx([0.0, 1.96**2 / (20 + 1.96**2)], abs=1e-5)
    assert pairs == pytest.approx([0.0, 1.96**2 / (10 + 1.96**2)], abs=1e-5)


def test_verdicts_may_differ_from_the_threshold() -> None:
    result = image_metrics([False, False, True], [0.0, 0.0, 2.0], 1.0, flagged=[True, False, True])
    assert (result["n_false_alarms"], result["n_defects_found"]) == (1, 1)
    assert result["image_auroc"] == 1.0


def test_importing_metrics_does_not_import_matplotlib() -> None:
    code = "import sys, evaluation.metrics, evaluation.pixel_metrics; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
