"""Turn results into plain values: everything that the text, tables and charts of the report show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastener.config import CorrosionSettings
from fastener.corrosion.analysis import ComponentResult, TimePoint
from fastener.corrosion.comparison import MeasuredShot
from fastener.corrosion.first_signs import KINDS
from fastener.corrosion.severity import LEVELS, Verdict, level_of
from fastener.corrosion.trend import Trend, forecast

_DIGITS = 3
_NESTED = ("shots", "worst_view_changes")
# How keys end whose values have two ends.
_INTERVALS = ("_ci95", "_range")


def component_record(result: ComponentResult, settings: CorrosionSettings, *, until: str = "") -> dict[str, Any]:
    """Build one entry of ``components`` in report.json. ``until`` is the severity to forecast, "" for no forecast."""
    baseline = result.points[0] if result.has_baseline else None
    timepoints: dict[str, Any] = {}
    previous: TimePoint | None = None
    for point in result.points:
        timepoints[f"{point.hours:g}"] = _point_record(point, previous, settings)
        previous = point
    return {
        "component": result.component,
        "status": result.status,
        "has_baseline": result.has_baseline,
        "t0_colour_rust_pct": _round(baseline.rust) if baseline else None,
        "rust_chroma_limit": _round(result.rust_limit),
        "colour_rate": _trend_record(result.rust_trend),
        "growth_rate": _trend_record(result.growth_trend),
        "forecast": _forecast_record(result, settings, until) if until else None,
        "failed": [{"path": str(one.path), "error": one.error} for one in result.failures],
        "timepoints": timepoints,
    }


def _point_record(point: TimePoint, previous: TimePoint | None, settings: CorrosionSettings) -> dict[str, Any]:
    changes = point.changes
    rust, tarnish, green = (changes.rust, changes.tarnish, changes.green) if changes else (None, None, None)
    growth = point.growth_change
    return {
        "mean_score": _round(point.mean_score),
        "colour_rust_pct": _round(point.rust),
        "colour_rust_ci95": _interval(point.rust_ci95),
        "white_corrosion_pct": _round(point.white),
        "white_corrosion_ci95": _interval(point.white_ci95),
        "dark_pct": _round(point.dark),
        "dark_ci95": _interval(point.dark_ci95),
        "worst_view_changes": _view_changes(point),
        "worst_view": None if point.worst_view is None else str(point.shots[point.worst_view].view.shot.path),
        "colour_tarnish_pct": _round(point.tarnish),
        "colour_green_ox_pct": _round(point.green),
        "colour_delta_vs_t0": _round(rust.rise) if rust else None,
        "colour_noise": _round(rust.noise) if rust else None,
        "colour_delta_vs_prev": _round(_since(point, previous)),
        "tarnish_delta_vs_t0": _round(tarnish.rise) if tarnish else None,
        "tarnish_noise": _round(tarnish.noise) if tarnish else None,
        "green_ox_delta_vs_t0": _round(green.rise) if green else None,
        "green_ox_noise": _round(green.noise) if green else None,
        "heatmap_growth_pct": _round(point.growth),
        "heatmap_growth_delta_vs_t0": _round(growth.rise) if growth else None,
        "heatmap_growth_noise": _round(growth.noise) if growth else None,
        "heatmap_growth_severity": _growth_word(point, settings),
        "is_rusting": point.verdict.is_rusting,
        "red_seen": _seen(point, "rust"),
        "white_seen": _seen(point, "white"),
        "status": point.status,
        "severity": point.verdict.severity,
        "damage_type": point.verdict.damage_type,
        "shots": [_shot_record(shot, verdict) for shot, verdict in zip(point.shots, point.verdicts, strict=True)],
    }


def _growth_word(point: TimePoint, settings: CorrosionSettings) -> str | None:
    """Grade the heatmap growth. No verdict rests on it, because its scale depends on the model's other photos."""
    growth = point.growth_change
    if growth is None:
        return None
    return LEVELS[level_of(growth.rise, settings.growth_cutoffs) if growth.is_real else 0]


def _view_changes(point: TimePoint) -> dict[str, float | None] | None:
    """Return the changes of the worst view since T0 by kind, in percentage points; None without T0."""
    changes = None if point.worst_view is None else point.shots[point.worst_view].changes
    if changes is None:
        return None
    kinds = {"white": changes.white, "red": changes.rust, "dark": changes.dark}
    kinds |= {"green": changes.green, "tarnish": changes.tarnish}
    return {kind: None if change is None else _round(change.rise) for kind, change in kinds.items()}


def _seen(point: TimePoint, kind: str) -> bool | None:
    """Tell whether a kind of corrosion is seen: on any view that degrades, beyond its noise; None if none could tell.

    What is beyond its noise on a view that has not degraded is a trace, which chips and dust leave, too.
    """
    seen, told = False, False
    for shot, verdict in zip(point.shots, point.verdicts, strict=True):
        change = None if shot.changes is None else getattr(shot.changes, kind)
        if change is not None:
            here = change.is_real and verdict.degrading
            # A view that T0 does not show can tell that there is rust, and not that there is none.
            seen, told = seen or here, told or here or shot.baseline_index is not None
    return seen if told else None


def _since(point: TimePoint, previous: TimePoint | None) -> float | None:
    """Return the change of rust since the previous time point, as the difference of their changes since T0 if known."""
    if previous is None:
        return None
    if point.changes is not None and previous.changes is not None:
        return point.changes.rust.rise - previous.changes.rust.rise
    return point.rust - previous.rust


def _shot_record(shot: MeasuredShot, verdict: Verdict) -> dict[str, Any]:
    registration, surface = shot.registration, shot.surface
    return {
        "path": str(shot.view.shot.path),
        "score": _round(shot.view.inspection.score) if shot.view.inspection else None,
        "colour_rust_pct": _round(shot.colour.rust),
        "colour_own_pct": _round(shot.colour.own),
        "colour_tarnish_pct": _round(shot.colour.tarnish),
        "colour_green_ox_pct": _round(shot.colour.green),
        "white_corrosion_pct": _round(surface.white) if surface else None,
        "dark_pct": _round(surface.dark) if surface else None,
        "judged_pct": _round(surface.judged) if surface else None,
        "rust_change": _round(shot.changes.rust.rise) if shot.changes else None,
        "severity": verdict.severity,
        "damage_type": verdict.damage_type,
        "heatmap_growth_pct": _round(shot.growth),
        "compared_with_t0_by": shot.compared or None,
        "registration_correlation": _round(registration.correlation) if registration else None,
        "registration_marks": _round(registration.marks) if registration else None,
        "registration_overlap": _round(registration.overlap) if registration else None,
        "quality": list(shot.flags),
    }


def _trend_record(trend: Trend | None) -> dict[str, Any] | None:
    if trend is None:
        return None
    low, high = trend.rate_ci95
    return {
        "points_per_24h": _round(trend.rate),
        "ci95": [_round(low), _round(high)],
        "line": {"at_t0": _round(trend.intercept), "points_per_hour": round(trend.slope, 5)},
    }


def _forecast_record(result: ComponentResult, settings: CorrosionSettings, until: str) -> dict[str, Any]:
    """Forecast the hours since T0 until a severity, unless it was reached, by the trend of the weighted area."""
    index = LEVELS.index(until)
    record: dict[str, Any] = {"severity": until, "reached_at": None, "hours": None, "earliest": None, "latest": None}
    reached = [point.hours for point in result.points if LEVELS.index(point.verdict.severity) >= index]
    if reached:
        return {**record, "reached_at": reached[0], "by": "measured"}
    trend = result.area_trend
    rises = trend is not None and trend.rate_ci95[0] > 0.0
    found = forecast(trend, settings.colour_cutoffs[index - 1]) if trend is not None and rises else None
    if found is None or found.hours is None:
        return {**record, "by": None}
    return {
        **record,
        "by": "colour",
        "hours": _round(found.hours),
        "earliest": _round(found.earliest),
        "latest": _round(found.latest),
    }


def flat_rows(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Build the rows of report.csv: one for each component and time point."""
    rows = []
    for record in records:
        for hours, point in record["timepoints"].items():
            row = {"component": record["component"], "hours": hours}
            row |= {
                key: value
                for key, value in point.items()
                if key not in ("shots", "worst_view_changes") and not key.endswith(_INTERVALS)
            }
            for key in (key for key in point if key.endswith(_INTERVALS)):
                row[f"{key}_low"], row[f"{key}_high"] = point[key] or (None, None)
            for kind in KINDS:
                key = f"first_{kind}_corrosion_h"
                row[f"{key}_low"], row[f"{key}_high"] = record[key] or (None, None)
            row["n_shots"] = len(point["shots"])
            row["quality"] = "; ".join(sorted({flag for shot in point["shots"] for flag in shot["quality"]}))
            rows.append(row)
    return rows


def _interval(ends: tuple[float, float] | None) -> list[float | None] | None:
    return None if ends is None else [_round(end) for end in ends]


def _round(value: float | None) -> float | None:
    # Adding zero turns -0.0 into 0.0.
    return None if value is None else round(float(value), _DIGITS) + 0.0
