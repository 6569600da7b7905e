"""What a threshold rests on is told as it is."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_factory import part, tiny_config

from fastener.common.intervals import wilson_interval
from fastener.config import CalibrationSettings
from fastener.inspection.decision import Decision, Traits
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Inspection
from fastener.inspection.threshold_report import HealthyPhoto, ThresholdReport, report_of
from fastener.models.scores import HealthyScores


def test_the_photos_above_the_threshold_are_counted(inspector: Inspector) -> None:
    report = inspector.report
    assert report is not None
    assert report.above == (inspector.decision.healthy_joined > inspector.threshold).sum()
    assert report.lines()[0].startswith(f"{report.above} of {report.n_photos} healthy photos lie above the threshold")
    assert inspector.describe().splitlines()[-len(report.lines()) :] == report.lines()
    assert ThresholdReport.from_state(report.state()) == report


def test_odd_photos_and_few_found_defects_are_warned_of() -> None:
    odd, plain = HealthyPhoto("odd.png", 26.2, True), HealthyPhoto("plain.png", 3.7, False)
    report = ThresholdReport(4.0, 0.1, 20, (odd, plain), 3.5, {"dent": (3, 6), "scar": (1, 6)}, above=1)
    assert report.lines() == [
        "1 of 20 healthy photos lie above the threshold when scored as unseen: expect up to 10.0% false alarms",
        "too odd to set it: odd.png (26.2)",
        "highest healthy photos: plain.png (3.70); without them the threshold is 3.50",
        "finds 33% of 12 synthetic defects (95 % interval 14% to 61%): dent 3/6, scar 1/6",
    ]
    first, second = report.warnings()
    assert "odd.png" in first
    assert "only 33% of synthetic defects" in second
    good = ThresholdReport(4.0, 0.1, 20, (plain,), 3.5, {"dent": (6, 6)})
    assert good.warnings() == []


@pytest.mark.parametrize("n", [2, 3, 4, 9])
def test_the_threshold_without_the_highest_photos_is_that_of_the_others(n: int) -> None:
    scores = np.linspace(1.0, 2.0, n)
    settings, traits = CalibrationSettings(), {"cnn": Traits("structure")}
    decision = Decision.fit({"cnn": HealthyScores(scores, scores)}, np.arange(n), settings, traits)
    report = report_of(decision, [f"{i}.png" for i in range(n)])
    (line,) = (one for one in report.lines() if one.startswith("highest healthy photos"))
    if n <= 4:  # the three highest are all, or all but one
        assert "without them" not in line
        assert math.isnan(report.without_highest)
    else:
        rest = replace(decision, healthy={"cnn": scores[:-3]})
        assert line.endswith(f"without them the threshold is {rest.threshold()[0]:.2f}")


def test_a_searched_threshold_keeps_the_report_of_its_own(inspector: Inspector) -> None:
    assert inspector.report is not None
    lines = inspector.with_threshold(9.0, "f1 on photos").describe().splitlines()
    assert "threshold 9.000, from f1 on photos" in lines
    assert lines[-len(inspector.report.lines()) :] == inspector.report.lines()


def test_the_interval_is_wilsons() -> None:
    assert wilson_interval(4, 12) == pytest.approx((0.138, 0.609), abs=1e-3)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_a_photo_that_passes_narrowly_is_one_to_look_at(good_photos: list[Path]) -> None:
    fitted = Inspector.fit(good_photos, tiny_config(), warn=lambda line: None, calibration__alpha=0.3)
    lenient = fitted.with_threshold(1e6, "a test").with_look_band()
    for result in lenient.inspect(good_photos):
        assert isinstance(result, Inspection)
        above = np.nanmax(result.map) > fitted.decision.place_limit()
        assert result.verdict == ("LOOK" if result.p_value <= 3 * lenient.decision.alpha or above else "normal")
        assert not result.is_anomalous
    assert {one.verdict for one in fitted.inspect(good_photos) if isinstance(one, Inspection)} <= {
        "normal",
        "ANOMALOUS",
    }


def test_a_place_above_healthy_places_is_one_to_look_at(inspector: Inspector) -> None:
    """A small rusty spot would pass under a threshold that is far too high."""
    lenient = inspector.with_threshold(1e6, "a test")
    (passed,) = lenient.inspect(part(300, "rust"))
    (looked,) = lenient.with_look_band().inspect(part(300, "rust"))
    assert isinstance(passed, Inspection)
    assert isinstance(looked, Inspection)
    assert (passed.verdict, looked.verdict) == ("normal", "LOOK")
    assert np.nanmax(looked.map) > inspector.decision.place_limit()
    assert Decision.from_state(inspector.decision.state()).place_limit() == inspector.decision.place_limit()
    assert replace(inspector.decision, healthy_peaks={}).place_limit() == np.inf
