"""Write the report as text: one block for each component, one line for each time point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from fastener.corrosion.severity import BASELINE, DEGRADING, LEVELS, NOT_JUDGED, STABLE

_WITHOUT_T0 = "without T0: change unknown"
_T0_ONLY = "with T0 only: change unknown"
_UNREAD = "of which no photo could be read"
_NO_VIEW = "not judged at the end: no view could be compared with T0"
_UNKNOWN = (_WITHOUT_T0, _T0_ONLY, _UNREAD, _NO_VIEW)


def summary(report: Mapping[str, Any]) -> str:
    """Write summary.txt."""
    lines = ["Corrosion report", ""]
    lines += [overview(report["components"]), ""]
    for record in report["components"]:
        lines += [*_component_lines(record), ""]
    if report["skipped"]:
        lines += ["Skipped:", *(f"  {name}: {reason}" for name, reason in report["skipped_because"].items()), ""]
    lines.append(model_line(report))
    return "\n".join(lines) + "\n"


def model_line(report: Mapping[str, Any]) -> str:
    """Name the model of a report, and say what rests on it."""
    if report["model"] is None:
        return "No model: colour, texture and T0 alone."
    return f"Model {report['model']}, threshold {report['model_threshold']:g}; no verdict depends on it."


def overview(records: Sequence[Mapping[str, Any]]) -> str:
    """Sum up all components in a sentence: how many degrade, the worst one, and how many have an unknown state."""
    standings = [_standing(record) for record in records]
    degrading = [record for record, standing in zip(records, standings, strict=True) if standing == DEGRADING]
    parts = [f"{len(records)} component{'' if len(records) == 1 else 's'}"]
    if degrading:
        worst = max(degrading, key=lambda record: LEVELS.index(_gravest(record)["severity"]))
        parts = [
            f"{len(degrading)} of {parts[0]} {'is' if len(degrading) == 1 else 'are'} degrading",
            f"the worst is {worst['component']} ({_gravest(worst)['severity']}, {_gravest(worst)['damage_type']})",
        ]
    elif STABLE in standings:
        stable = standings.count(STABLE)
        which = "none" if stable == len(records) else f"none of the {stable} compared with T0"
        parts[0] += f", {which} measurably degrading"
    parts += [f"{standings.count(kind)} {kind}" for kind in _UNKNOWN if kind in standings]
    return "; ".join(parts) + "."


def _standing(record: Mapping[str, Any]) -> str:
    """Return the component's status, STABLE or DEGRADING, or one of ``_UNKNOWN`` if its state cannot be told."""
    if not record["timepoints"]:
        return _UNREAD
    status = record["status"]
    if status is None:
        return _WITHOUT_T0
    return {BASELINE: _T0_ONLY, NOT_JUDGED: _NO_VIEW}.get(status, str(status))


def latest(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the last time point of a component's record; empty if there is none."""
    points = list(record["timepoints"].values())
    return points[-1] if points else {}


def _gravest(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the time point with the greatest severity, the latest one of several."""
    return max(reversed(record["timepoints"].values()), key=lambda point: LEVELS.index(point["severity"]))


def headline(point: Mapping[str, Any]) -> str:
    """Say what has changed since T0 in the worst view, and the mean of the views; the shares without T0."""
    changes = point["worst_view_changes"]
    if changes is None:
        return f"rust {point['colour_rust_pct']:.1f} % of the part; no T0 to compare with"
    if point["status"] == BASELINE:
        return "T0, to which all changes relate"
    if point["status"] == NOT_JUDGED:
        return "no view could be compared with T0, so no change can be stated"
    found = [f"{kind} {value:+.1f}" for kind, value in changes.items() if value is not None and abs(value) >= 0.05]
    return (
        f"since T0, in the worst view ({name_of(point['worst_view'])}): "
        + (", ".join(found) + " points" if found else "no change")
        + ("" if len(point["shots"]) == 1 else f"; mean of {len(point['shots'])} views: {_mean(point)}")
    )


def _mean(point: Mapping[str, Any]) -> str:
    shares = {"white": "white_corrosion_pct", "red": "colour_rust_pct", "dark": "dark_pct"}
    return ", ".join(f"{kind} {point[key]:.1f} %" for kind, key in shares.items() if point[key] is not None)


def severity_words(point: Mapping[str, Any]) -> str:
    """Name the severity. None is said in words, with what it means where some share was measured."""
    if point["severity"] != "None":
        return str(point["severity"])
    if point["status"] == BASELINE:
        return "Reference"
    if point["status"] == NOT_JUDGED:
        return "Not judged"
    shares = (point["white_corrosion_pct"], point["colour_rust_pct"], point["dark_pct"])
    return "Within uncertainty" if any((share or 0.0) >= 0.05 for share in shares) else "No damage seen"


def notes(record: Mapping[str, Any]) -> list[str]:
    """List the remarks that a reader of a component's figures must know, each a sentence."""
    found = []
    if not record["timepoints"]:
        found.append("No shot of this component could be read.")
    elif not record["has_baseline"]:
        found.append("No T0 shot: shares are absolute, and nothing can be said about change.")
    elif len(record["timepoints"]) == 1:
        found.append("Only T0 was photographed: nothing can be said about change.")
    elif all(
        (shot["compared_with_t0_by"] or "places") != "places"
        for hours, point in record["timepoints"].items()
        if hours != "0"
        for shot in point["shots"]
    ):
        found.append("No later shot fits any T0 shot: another part under the same name, or other views.")
    found += [
        f"DEGRADING at T{hours}, but not at T{later}: corrosion does not heal. It was removed, or light or focus "
        "misled one of the two; look at both."
        for (hours, point), (later, after) in pairwise(record["timepoints"].items())
        if point["status"] == DEGRADING and after["status"] == STABLE
    ]
    own = [
        f"{shot['colour_own_pct']:.1f} % in {name_of(shot['path'])}"
        for hours, point in record["timepoints"].items()
        if hours == "0"
        for shot in point["shots"]
        if shot["colour_own_pct"] >= 0.5
    ]
    if own:
        found.append(f"Rust-coloured at T0 already, so not counted: {', '.join(own)}.")
    for hours, point in record["timepoints"].items():
        for shot in point["shots"]:
            if shot["quality"]:
                found.append(f"T{hours}, {name_of(shot['path'])}: {', '.join(shot['quality'])}.")
            if (shot["compared_with_t0_by"] or "places") != "places":
                found.append(
                    f"T{hours}, {name_of(shot['path'])}: its rust is told from the part's own colour by hue alone, and "
                    "nothing else can be said of it."
                )
    found += [f"{name_of(failed['path'])} could not be read: {failed['error']}" for failed in record["failed"]]
    return found


def name_of(path: str) -> str:
    """Return the file name at the end of a path, with slashes of either kind."""
    return path.replace("\\", "/").rsplit("/", 1)[-1]


def rate_sentence(record: Mapping[str, Any]) -> str:
    """Describe the trend of rust, and the forecast if requested; empty with fewer than two time points."""
    rate = record["colour_rate"]
    if rate is None:
        return ""
    low, high = rate["ci95"]
    verdict = "rising" if low > 0 else "falling" if high < 0 else "no trend beyond its uncertainty"
    sentence = f"Rust: {rate['points_per_24h']:+.2f} points per 24 h (95 %: {low:+.2f} to {high:+.2f}), {verdict}."
    return " ".join(filter(None, (sentence, forecast_sentence(record["forecast"]))))


def forecast_sentence(forecast: Mapping[str, Any] | None) -> str:
    """Say when the requested severity will be reached or was reached; empty without a forecast."""
    if forecast is None:
        return ""
    if forecast["reached_at"] is not None:
        return f"{forecast['severity']} was reached by T{forecast['reached_at']:g}."
    if forecast["hours"] is None:
        return f"{forecast['severity']} is not in sight: nothing rises beyond its uncertainty, or not soon enough."
    earliest = "now" if forecast["earliest"] is None else f"{forecast['earliest']:.0f} h"
    latest_ = "open" if forecast["latest"] is None else f"{forecast['latest']:.0f} h"
    return (
        f"{forecast['severity']} by {forecast['by']} expected {forecast['hours']:.0f} h after T0 "
        f"(95 %: {earliest} to {latest_}), if it goes on in a straight line."
    )


def _component_lines(record: Mapping[str, Any]) -> list[str]:
    title = f"{record['component']}: {record['status'] or 'no baseline'}"
    lines = [title, "-" * len(title)]
    for hours, point in record["timepoints"].items():
        damage = f", {point['damage_type']}" if point["damage_type"] != "none" else ""
        lines.append(
            f"{'T' + hours:>7}  {point['status'] or 'no baseline'}, {severity_words(point)}{damage}: {headline(point)}"
        )
    return [line for line in [*lines, rate_sentence(record), *notes(record)] if line]


def signed(value: float | None, digits: int = 2) -> str:
    """Format a change with its sign; None becomes a dash."""
    return "-" if value is None else f"{value:+.{digits}f}"
