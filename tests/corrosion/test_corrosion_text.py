"""The sentences of a corrosion report: what is known of all components, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from fastener.corrosion.text import notes, overview


def record(*statuses: str | None, name: str = "Nut", severity: str = "None", damage: str = "none") -> dict[str, Any]:
    """A component with a time point for each status."""
    points = [{"status": status, "severity": severity, "damage_type": damage} for status in statuses]
    known = [status for status in statuses if status is not None]
    return {
        "component": name,
        "status": known[-1] if known else None,
        "timepoints": {str(24 * index): point for index, point in enumerate(points)},
    }


STABLE, RUSTY = (
    record("BASELINE", "STABLE"),
    record("BASELINE", "DEGRADING", name="Bolt", severity="Mild", damage="rust"),
)
T0_ONLY, LATE, UNREAD = record("BASELINE"), record(None, None), record()
UNSEEN = record("BASELINE", "NOT JUDGED")


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ([STABLE, STABLE], "2 components, none measurably degrading."),
        ([STABLE, RUSTY], "1 of 2 components is degrading; the worst is Bolt (Mild, rust)."),
        ([LATE, LATE], "2 components; 2 without T0: change unknown."),
        ([UNREAD], "1 component; 1 of which no photo could be read."),
        ([UNSEEN], "1 component; 1 not judged at the end: no view could be compared with T0."),
        ([T0_ONLY], "1 component; 1 with T0 only: change unknown."),
        (
            [STABLE, LATE, UNREAD],
            "3 components, none of the 1 compared with T0 measurably degrading; "
            "1 without T0: change unknown; 1 of which no photo could be read.",
        ),
        (
            [RUSTY, STABLE, RUSTY, LATE],
            "2 of 4 components are degrading; the worst is Bolt (Mild, rust); 1 without T0: change unknown.",
        ),
    ],
)
def test_what_is_unknown_is_not_called_sound(records: list[dict[str, Any]], sentence: str) -> None:
    assert overview(records) == sentence


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        (("BASELINE", "DEGRADING", "STABLE", "STABLE"), ["DEGRADING at T24, but not at T48"]),
        (("BASELINE", "STABLE", "DEGRADING", "NOT JUDGED"), []),
        (("BASELINE", "STABLE", "DEGRADING", "DEGRADING"), []),
    ],
)
def test_corrosion_that_heals_is_remarked(statuses: tuple[str, ...], said: list[str]) -> None:
    shown = record(*statuses) | {"has_baseline": True, "failed": []}
    for point in shown["timepoints"].values():
        point["shots"] = [
            {"compared_with_t0_by": "places", "path": "a.jpg", "colour_own_pct": 0.0, "quality": []},
        ]
    assert [note.split(": ", 1)[0] for note in notes(shown)] == said
