"""The robust threshold against SciPy's distributions, by simulation, and with photos that are no good ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from fastener.models.calibration import Scale, gross_outliers, healthy_threshold, robust_threshold

FINITE = st.floats(-1e6, 1e6, allow_nan=False)


def test_limit_is_the_prediction_interval_of_normal_scores() -> None:
    scores = np.random.default_rng(0).normal(5, 2, 40)
    tail = robust_threshold(scores, 0.03)
    mean, deviation = scores.mean(), scores.std(ddof=1)
    assert tail.outliers.size == 0
    assert tail.threshold == pytest.approx(stats.t(39, mean, deviation * math.sqrt(1 + 1 / 40)).ppf(0.97))
    assert tail.bound == (1 + (scores > tail.threshold).sum()) / 41


@pytest.mark.parametrize("n", [5, 10, 50, 300])
def test_normal_scores_are_flagged_at_the_rate_that_was_asked_for(n: int) -> None:
    rng = np.random.default_rng(n)
    rates, bounds = [], []
    for _ in range(1500):
        tail = robust_threshold(rng.normal(size=n), 0.02)
        rates.append(stats.norm.sf(tail.threshold))
        bounds.append(tail.bound)
    assert np.mean(rates) == pytest.approx(0.02, abs=0.004)
    assert np.mean(rates) <= np.mean(bounds)


@pytest.mark.parametrize("share", [0.02, 0.05])
def test_mislabelled_photos_cost_little(share: float) -> None:
    rng = np.random.default_rng(1)
    losses = []
    for _ in range(300):
        clean = rng.normal(size=100)
        bad = np.concatenate([clean, rng.normal(8, 2, round(100 * share))])
        losses.append(robust_threshold(bad, 0.02).threshold - robust_threshold(clean, 0.02).threshold)
    assert np.mean(losses) < 0.2


def test_clean_collections_rarely_lose_a_score() -> None:
    rng = np.random.default_rng(2)
    lost = [gross_outliers(rng.normal(size=60)).size > 0 for _ in range(1000)]
    assert np.mean(lost) < 0.05


@given(hnp.arrays(np.float64, st.integers(2, 60), elements=FINITE))
def test_at_most_a_tenth_is_left_out_and_only_from_above(scores: np.ndarray) -> None:
    outliers = gross_outliers(scores)
    assert len(outliers) <= math.ceil(0.1 * len(scores))
    assert len(set(outliers.tolist())) == len(outliers)
    if outliers.size:
        assert scores[outliers].min() >= np.delete(scores, outliers).max()


@given(hnp.arrays(np.float64, st.integers(3, 40), elements=FINITE), st.floats(0.5, 2), st.floats(-10, 10))
def test_units_do_not_matter(scores: np.ndarray, factor: float, shift: float) -> None:
    if np.ptp(scores) < 1e-3:
        return
    one, other = robust_threshold(scores, 0.05), robust_threshold(scores * factor + shift, 0.05)
    if len(one.outliers) == len(other.outliers):
        assert other.threshold == pytest.approx(one.threshold * factor + shift, rel=1e-6, abs=1e-6 * np.ptp(scores))


def test_equal_scores_are_their_own_threshold() -> None:
    assert robust_threshold(np.full(10, 3.0), 0.02).threshold == pytest.approx(3.0)


def test_one_score_is_too_few() -> None:
    with pytest.raises(ValueError, match="at least two"):
        robust_threshold(np.array([1.0]), 0.02)


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_few_scores_keep_the_rate_with_what_is_expected_of_them(n: int) -> None:
    rng = np.random.default_rng(n)
    with_prior, without = [], []
    for _ in range(1500):
        scores = rng.normal(size=n)
        with_prior.append(robust_threshold(scores, 0.02, prior_deviation=1.0).threshold)
        without.append(robust_threshold(scores, 0.02).threshold)
    assert np.mean(stats.norm.sf(with_prior)) < 0.05
    assert np.mean(stats.norm.sf(with_prior)) > 0.005
    assert np.mean(with_prior) < np.mean(without)
    assert np.std(with_prior) < np.std(without)


def test_expectation_fades_where_scores_are_many() -> None:
    scores = np.random.default_rng(0).normal(0, 3, 200)
    expected, plain = robust_threshold(scores, 0.02, prior_deviation=1.0), robust_threshold(scores, 0.02)
    assert expected.threshold == pytest.approx(plain.threshold, rel=1e-3)
    assert Scale.fit(scores + 50, 0.84, prior_spread=0.5).unit == pytest.approx(
        Scale.fit(scores + 50, 0.84).unit, rel=2e-2
    )


def test_unit_of_two_close_scores_is_near_the_expected_one() -> None:
    scale = Scale.fit(np.array([10.0, 10.001]), 0.84, prior_spread=0.05)
    assert scale.unit == pytest.approx(0.5 * math.sqrt(6 / 8), rel=1e-3)
    assert Scale.fit(np.array([10.0, 10.001]), 0.84).unit < 1e-3


@pytest.mark.parametrize("n", [30, 60, 90])
def test_one_odd_photo_does_not_set_the_threshold_at_a_small_alpha(n: int) -> None:
    scores = np.random.default_rng(n).normal(size=n)
    tail = healthy_threshold(np.append(scores, 30.0), 0.01)
    assert tail.outliers.tolist() == [n]
    assert scores.max() <= tail.threshold < 6


@pytest.mark.parametrize("n", [50, 100])
def test_an_exponential_tail_is_flagged_at_the_rate_that_was_asked_for(n: int) -> None:
    rng = np.random.default_rng(n)
    limits = np.array([healthy_threshold(rng.exponential(size=n), 0.05).threshold for _ in range(300)])
    assert np.exp(-limits).mean() == pytest.approx(0.05, abs=0.02)


def test_mislabelled_photos_leave_the_recall() -> None:
    rng = np.random.default_rng(4)
    found = []
    for _ in range(100):
        scores = np.concatenate([rng.normal(size=95), rng.normal(8, 2, 5)])
        found.append(stats.norm(8, 2).sf(healthy_threshold(scores, 0.05).threshold))
    assert np.mean(found) > 0.99
