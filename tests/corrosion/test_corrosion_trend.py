"""Trends and forecasts: as wide as the noise of what is fitted, of what severity judges, and never of the past."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corrosion_factory import analyse, rendered, small_config, write_series

from fastener.config import Config
from fastener.corrosion import baselines, comparison
from fastener.corrosion.analysis import ComponentResult
from fastener.corrosion.colour_growth import Colour, measure
from fastener.corrosion.records import component_record
from fastener.corrosion.severity import Change, Changes, judge
from fastener.corrosion.text import rate_sentence
from fastener.corrosion.trend import fit_trend, forecast

# Shares of rust in percent that lie near 0 %, where the interval ends; one standard deviation of rust is 1 point.
RUST = (0.0, 1.2, 2.4)
DEVIATIONS = (1.0, 2.0, 3.0)


def measured(monkeypatch: pytest.MonkeyPatch, folder: Path, hours: list[str]) -> ComponentResult:
    """A series whose measurements are RUST, with DEVIATIONS of rust, tarnish and green."""
    genuine, shares = measure, iter(RUST)

    def given_shares(*given: Any, **named: Any) -> Colour:
        return replace(genuine(*given, **named), rust=next(shares), deviations=DEVIATIONS)

    for module in (baselines, comparison):
        monkeypatch.setattr(module, "measure", given_shares)
    write_series(folder, "Bolt", [part.image for part in rendered((0.0, 0.0, 0.0))], hours)
    return analyse(folder)[0]


def half_width(deviations: np.ndarray) -> float:
    """95 % half-width in points per 24 h of the slope through three moments, by the textbook's formula."""
    weights, steps = 1 / deviations**2, np.arange(3)
    centred = steps - (weights * steps).sum() / weights.sum()
    return float(1.96 / np.sqrt((weights * centred**2).sum()))


def test_trend_since_t0_is_as_wide_as_the_noise_of_the_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = measured(monkeypatch, tmp_path, ["0", "24", "48"])
    low, high = result.rust_trend.rate_ci95 if result.rust_trend else (0.0, 0.0)
    assert (high - low) / 2 == pytest.approx(half_width(np.array([1.0, np.sqrt(2.0), np.sqrt(2.0)])))
    assert "no trend beyond its uncertainty" in rate_sentence(component_record(result, Config().corrosion))


def test_trend_without_t0_is_as_wide_as_the_unclipped_intervals(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    result = measured(monkeypatch, tmp_path, ["24", "48", "72"])
    assert [point.rust_ci95[0] for point in result.points[:2]] == [0.0, 0.0]
    low, high = result.rust_trend.rate_ci95 if result.rust_trend else (0.0, 0.0)
    assert (high - low) / 2 == pytest.approx(half_width(np.ones(3)))


def test_noise_of_t0_is_that_of_each_colour(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    changes = measured(monkeypatch, tmp_path, ["0", "24", "48"]).points[0].changes
    assert changes is not None
    colours = (changes.rust, changes.tarnish, changes.green)
    assert [change.noise for change in colours] == pytest.approx([1.96 * deviation for deviation in DEVIATIONS])


def test_area_is_what_severity_judges() -> None:
    rust, tarnish, green = Change(10.0, 1.0), Change(8.0, 2.0), Change(3.0, 5.0)
    changes = Changes(rust, tarnish, green, Change(5.0, 1.0), Change(0.5, 1.0))
    verdict = judge(changes, Config().corrosion)
    assert verdict.area.rise == pytest.approx(10.0 + 8.0 / 4 + 5.0 * 0.4)
    assert verdict.area.noise == pytest.approx(np.sqrt(1.0**2 + 0.5**2 + 5.0**2 + 0.4**2 + 0.4**2))


def test_forecast_counts_green_oxidation_as_severity_does(tmp_path: Path) -> None:
    photos = []
    for part in rendered((0.0, 0.05, 0.1)):
        photos.append(part.image.copy())
        photos[-1][part.defect_mask] = (70, 140, 80)
    write_series(tmp_path, "Bolt", photos, ["0", "24", "48"])
    # Growth counts for nothing here: none is beyond 100 %.
    result = analyse(tmp_path, corrosion__min_growth=100.0)[0]
    found = component_record(result, small_config().corrosion, until="Severe")["forecast"]
    last = result.points[-1]
    assert last.rust < 1.0
    assert found["by"] == "colour"
    assert found["hours"] == pytest.approx(48.0 * 20.0 / last.green, rel=0.05)


def test_no_forecast_lies_before_the_last_measurement() -> None:
    trend = fit_trend(np.array([0.0, 24, 48]), np.array([0.0, 19, 19]), np.ones(3))
    assert trend is not None
    assert trend.at(np.array([43.0]))[0][0] > 20.0
    found = forecast(trend, 20.0)
    assert (found.hours, found.earliest) == (48.0, 48.0)
