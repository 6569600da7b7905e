"""Severity, status and trend against hand-made cases and scipy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import linregress
from scipy.stats import t as student

from fastener.config import Config
from fastener.corrosion.severity import LEVELS, Change, Changes, damage_of, judge, level_of
from fastener.corrosion.trend import fit_trend, forecast

SETTINGS = Config().corrosion
NONE = Change(0.0, 0.5)


def severity(
    rust: Change = NONE,
    tarnish: Change = NONE,
    green: Change = NONE,
    white: Change | None = NONE,
    dark: Change | None = None,
) -> tuple[Any, ...]:
    verdict = judge(Changes(rust, tarnish, green, white, dark), SETTINGS)
    return verdict.severity, verdict.damage_type, verdict.degrading


@pytest.mark.parametrize(
    ("points", "word"), [(0.4, "None"), (0.6, "Trace"), (1, "Mild"), (8, "Moderate"), (20, "Severe"), (99, "Critical")]
)
def test_cutoffs(points: float, word: str) -> None:
    assert LEVELS[level_of(points, SETTINGS.colour_cutoffs)] == word


@given(st.floats(0, 100), st.floats(0, 100))
def test_severity_rises_with_the_area(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert level_of(low, SETTINGS.colour_cutoffs) <= level_of(high, SETTINGS.colour_cutoffs)


def test_kinds_of_damage_are_weighted_added_and_named() -> None:
    assert severity(rust=Change(10, 1)) == ("Moderate", "rust", True)
    assert severity(rust=Change(2, 1), white=Change(20, 2)) == ("Moderate", "white corrosion and rust", True)
    assert severity(dark=Change(6, 2)) == ("Mild", "dark staining or lost coating", True)
    assert severity(green=Change(9, 1), rust=Change(2, 1)) == ("Moderate", "green oxidation and rust", True)
    assert severity(tarnish=Change(8, 1)) == ("Mild", "tarnish", True)
    assert severity(white=None) == ("None", "none", False)


def test_trace_is_real_but_degrades_only_beyond_doubt() -> None:
    assert severity(white=Change(0.6, 0.5)) == ("Trace", "white corrosion", False)
    assert severity(white=Change(3.0, 1.0)) == ("Mild", "white corrosion", False)
    assert severity(white=Change(5.0, 1.0)) == ("Mild", "white corrosion", True)


def test_change_within_its_noise_is_none() -> None:
    assert severity(rust=Change(9, 10), white=Change(1.9, 2)) == ("None", "none", False)


def test_trend_of_scattered_points_is_that_of_least_squares() -> None:
    hours, values = np.array([0.0, 24, 48, 72]), np.array([0.0, 9, 10, 25])
    trend = fit_trend(hours, values, np.full(4, 0.1))
    reference = linregress(hours, values)
    assert trend is not None
    assert trend.slope == pytest.approx(reference.slope)
    half = 24 * student.ppf(0.975, 2) * reference.stderr
    assert trend.rate_ci95 == pytest.approx((24 * reference.slope - half, 24 * reference.slope + half))


def test_trend_of_two_points_has_the_width_of_their_errors() -> None:
    trend = fit_trend(np.array([0.0, 24]), np.array([1.0, 5.0]), np.array([0.5, 1.0]))
    assert trend is not None
    assert trend.rate == pytest.approx(4.0)
    half = 1.96 * np.hypot(0.5, 1.0)
    assert trend.rate_ci95 == pytest.approx((4 - half, 4 + half))


def test_no_trend_of_one_moment() -> None:
    assert fit_trend(np.array([24.0]), np.array([1.0]), np.array([0.5])) is None
    assert fit_trend(np.array([]), np.array([]), np.array([])) is None


def test_forecast_crosses_where_the_line_does_and_is_open_where_its_band_never_does() -> None:
    hours = np.array([0.0, 24, 48])
    sure = fit_trend(hours, hours / 12, np.full(3, 0.05))
    assert sure is not None
    found = forecast(sure, 8.0)
    assert found.hours == pytest.approx(96.0, abs=0.5)
    assert found.earliest is not None
    assert found.latest is not None
    assert found.earliest < 96.0 < found.latest
    vague = fit_trend(hours, hours / 12, np.full(3, 4.0))
    assert vague is not None
    assert forecast(vague, 8.0).latest is None
    assert forecast(vague, 500.0).hours is None


def test_damage_of_all_views_is_named_once_and_the_worst_view_leads() -> None:
    dark, white = (judge(Changes(NONE, NONE, NONE, **{kind: Change(9.0, 0.5)}), SETTINGS) for kind in ("dark", "white"))
    assert damage_of([dark, white, dark]) == "dark staining or lost coating and white corrosion"
    assert damage_of([]) == "none"
