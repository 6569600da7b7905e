"""Thresholds, p-values and confidence against hand-worked examples, brute force and the guarantee itself."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastener.models.calibration import Scale, confidence, conformal_threshold, false_alarm_rate, p_values

SCORES = hnp.arrays(np.float64, st.integers(1, 30), elements=st.integers(-5, 5).map(float))


@pytest.mark.parametrize(
    ("n", "alpha", "threshold", "supported"),
    [
        (9, 0.1, 9, 0.1),  # ceil(10 * 0.9) = 9
        (99, 0.05, 95, 0.05),  # ceil(100 * 0.95) = 95
        (99, 0.01, 99, 0.01),
        (9, 0.7, 3, 0.7),  # 10 * (1 - 0.7) = 3.0000000000000004 must not become 4
        (100, 0.05, 96, 0.05),  # ceil(101 * 0.95) = ceil(95.95)
        (4, 0.5, 3, 0.5),  # ceil(5 * 0.5)
        (98, 0.01, 98, 1 / 99),  # ceil(99 * 0.99) = 99 > 98: too few
        (3, 0.01, 3, 0.25),
        (1, 0.4, 1, 0.5),
        (5, 1 - 1e-12, 1, 1 - 1e-12),
    ],
)
def test_threshold_by_hand(n: int, alpha: float, threshold: float, supported: float) -> None:
    shuffled = np.random.default_rng(n).permutation(np.arange(1.0, n + 1))
    assert conformal_threshold(shuffled, alpha) == (threshold, pytest.approx(supported))


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("alpha", [0.05, 1 / 7, 0.2, 1 / 3, 0.5, 0.75])
def test_guarantee_over_every_order(n: int, alpha: float) -> None:
    """Of n + 1 exchangeable parts each is the new one equally often: count how often it is flagged, exactly."""
    for values in (np.arange(n + 1.0), np.minimum(np.arange(n + 1.0), n // 2)):  # without and with ties
        flagged = 0
        orders = list(itertools.permutations(values))
        for *healthy, new in orders:
            threshold, supported = conformal_threshold(np.array(healthy), alpha)
            flagged += new > threshold
        assert Fraction(flagged, len(orders)) <= Fraction(supported).limit_denominator(1000)
        assert supported == pytest.approx(max(alpha, 1 / (n + 1)))


@pytest.mark.parametrize(("n", "alpha"), [(40, 0.05), (57, 0.1), (19, 0.05), (10, 0.01)])
def test_guarantee_in_simulation(n: int, alpha: float) -> None:
    """The share flagged lies between alpha - 1 / (n + 1) and alpha, as the theory has it for scores without ties."""
    draws = np.random.default_rng(3).lognormal(0.0, 1.0, (8000, n + 1))
    flags, supported = [], 0.0
    for row in draws:
        threshold, supported = conformal_threshold(row[:-1], alpha)
        flags.append(row[-1] > threshold)
    error = 4 * np.sqrt(supported / len(draws))
    assert supported - 1 / (n + 1) - error <= np.mean(flags) <= supported + error


@given(SCORES, SCORES)
def test_p_values_by_brute_force(healthy: np.ndarray, scores: np.ndarray) -> None:
    expected = [(1 + sum(h >= s for h in healthy)) / (len(healthy) + 1) for s in scores]
    np.testing.assert_allclose(p_values(healthy, scores), expected, rtol=1e-12)


@pytest.mark.parametrize("n", [5, 30])
def test_p_values_are_super_uniform(n: int) -> None:
    """P(p <= u) <= u for every u; ties only push p up. Exact over the n + 1 rotations of any set of scores."""
    generator = np.random.default_rng(0)
    for values in (generator.standard_t(2, n + 1), generator.integers(0, 4, n + 1).astype(float)):
        p = np.array([p_values(np.delete(values, new), values[new]) for new in range(n + 1)])
        for u in np.linspace(0, 1, 41):
            assert np.mean(p <= u) <= u + 1e-12


@given(SCORES, SCORES, st.sampled_from([0.01, 0.05, 0.1, 0.25, 0.5, 0.9]))
def test_flagged_means_a_p_value_of_at_most_alpha(healthy: np.ndarray, scores: np.ndarray, alpha: float) -> None:
    threshold, supported = conformal_threshold(healthy, alpha)
    np.testing.assert_array_equal(scores > threshold, p_values(healthy, scores) <= supported + 1e-9)


def test_p_values_keep_the_shape() -> None:
    assert p_values(np.arange(5.0), np.zeros((2, 3))).shape == (2, 3)


def test_confidence_at_its_landmarks() -> None:
    median, threshold = 2.0, 5.0
    values = confidence(np.array([threshold, median, 2 * threshold - median, 50.0, -40.0]), threshold, median)
    np.testing.assert_allclose(values[:3], [0.5, 0.952574, 0.952574], atol=1e-6)
    assert (values[3:] > 0.9999).all()


@given(
    st.floats(-1e3, 1e3),
    st.floats(1e-3, 1e3),
    hnp.arrays(np.float64, st.integers(2, 20), elements=st.floats(-1e6, 1e6)),
)
def test_confidence_rises_on_both_sides(median: float, width: float, scores: np.ndarray) -> None:
    threshold = median + width
    scores = scores[np.argsort(np.abs(scores - threshold))]
    values = confidence(scores, threshold, median)
    assert (np.diff(values) >= 0).all()
    assert ((values >= 0.5) & (values <= 1)).all()
    assert confidence(np.array([threshold]), threshold, median)[0] == 0.5


def test_confidence_survives_a_threshold_on_the_median() -> None:
    values = confidence(np.array([0.9, 1.0, 1.1, 1e12]), 1.0, 1.0)
    np.testing.assert_allclose(values, [1, 0.5, 1, 1])


def test_scale_by_hand() -> None:
    scale = Scale.fit(np.arange(101.0), 0.84)
    assert (scale.median, scale.unit) == (50, pytest.approx(34))
    np.testing.assert_allclose(scale(np.array([[50.0, 84.0], [16.0, 118.0]])), [[0, 1], [-1, 2]])


def test_one_odd_photo_does_not_set_the_unit() -> None:
    clean = np.random.default_rng(1).normal(10, 1, 4000)
    dirty = np.concatenate([clean, [1e6, 1e9]])
    before, after = Scale.fit(clean, 0.84), Scale.fit(dirty, 0.84)
    assert after.median == pytest.approx(before.median, abs=0.05)
    assert after.unit == pytest.approx(before.unit, rel=0.1)
    assert before.unit == pytest.approx(0.994, abs=0.06)  # the 84 % quantile of a normal


@pytest.mark.parametrize("level", [0.0, 3.0, 1e6])
def test_equal_scores_stay_finite(level: float) -> None:
    scale = Scale.fit(np.full(20, level), 0.84)
    assert scale.unit > 0
    assert scale(np.array([level]))[0] == 0
    assert np.isfinite(scale(np.array([level + 1.0]))).all()


def test_least_unit() -> None:
    narrow = 1 + 1e-4 * np.arange(50.0)
    assert Scale.fit(narrow, 0.84, min_unit=0.01).unit == 0.01
    assert Scale.fit(100 * narrow, 0.84, min_unit=0.01).unit == pytest.approx(100 * 1e-4 * 0.34 * 49)


@given(SCORES, st.floats(0.01, 0.99))
def test_false_alarm_rate_keeps_the_promise_of_the_threshold(healthy: np.ndarray, alpha: float) -> None:
    threshold, supported = conformal_threshold(healthy, alpha)
    assert false_alarm_rate(healthy, threshold) <= supported + 1e-9
    assert false_alarm_rate(healthy, healthy.min() - 1) == 1.0


def test_false_alarm_rate_by_hand() -> None:
    healthy = np.arange(1.0, 20.0)  # n = 19: the k-th smallest stands for (20 - k) / 20
    assert [false_alarm_rate(healthy, k) for k in (19.0, 18.0, 10.5, 0.0)] == pytest.approx([0.05, 0.1, 0.5, 1.0])
