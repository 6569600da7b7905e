"""What a laboratory asks of a report: ratings, first corrosion, requirements, lots, its sheet, and gaps in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fastener.common.errors import UserError
from fastener.corrosion.lab_sheet import load_sheet
from fastener.corrosion.lots import lot_records
from fastener.corrosion.ratings import rated
from fastener.corrosion.tables import interval_text, lab_tables, rating_table, share_table


def point(
    white: float | None, red: float, dark: float = 0.0, half: float = 0.2, status: str = "STABLE"
) -> dict[str, Any]:
    """A time point whose shares have an interval of ``half`` to each side."""

    def interval(share: float | None) -> list[float] | None:
        return None if share is None else [max(0.0, share - half), share + half]

    return {
        "white_corrosion_pct": white,
        "white_corrosion_ci95": interval(white),
        "colour_rust_pct": red,
        "colour_rust_ci95": interval(red),
        "dark_pct": dark,
        "dark_ci95": interval(dark),
        "red_seen": red > half,
        "white_seen": None if white is None else white > half,
        "status": status,
        "shots": [],
    }


def component(name: str = "Nut", lot: str | None = None, **points: dict[str, Any]) -> dict[str, Any]:
    """A component with a time point for each ``t<hours>``."""
    timepoints = {hours.removeprefix("t"): one for hours, one in points.items()}
    return {"component": name, "lot": lot, "has_baseline": "t0" in points, "timepoints": timepoints, "failed": []}


NEW = point(0.0, 0.0, status="BASELINE")
# White from 48 h on, red at 72 h.
NUT = component(t0=NEW, t24=point(0.1, 0.0), t48=point(4.0, 0.0), t72=point(12.0, 2.0, 3.0))


def test_ratings_follow_the_area_that_exposure_added() -> None:
    found = rated(NUT)["timepoints"]
    assert [one["rp"] for one in found.values()] == [10, 10, 10, 5]
    assert [one["ra"] for one in found.values()] == [10, 10, 4, 2]
    assert [one["ri"] for one in found.values()] == [0, 0, 0, 4]
    assert [one["astm_d610"] for one in found.values()] == [10, 10, 10, 5]
    assert found["72"]["rp_range"] == [5, 5]
    assert found["24"]["ra_range"] == [6, 10]
    old = component(t0=point(1.0, 3.0), t24={**point(1.0, 3.0), "red_seen": False, "white_seen": False})
    assert rated(old)["timepoints"]["24"]["rp"] == 10


def test_first_corrosion_is_an_interval_or_null() -> None:
    found = rated(NUT)
    assert found["first_white_corrosion_h"] == [24.0, 48.0]
    assert found["first_red_corrosion_h"] == [48.0, 72.0]
    sound = rated(component(t0=NEW, t24=point(0.1, 0.0)))
    assert (sound["first_white_corrosion_h"], sound["first_red_corrosion_h"]) == (None, None)


@pytest.mark.parametrize(
    ("required", "outcome"),
    [
        ({"white": 24}, "pass"),
        ({"white": 48}, "fail"),
        ({"white": 36}, "not shown"),
        ({"white": 24, "red": 48}, "pass"),
        ({"white": 24, "red": 60}, "not shown"),
        ({"white": 24, "red": 96}, "fail"),
    ],
)
def test_requirements(required: dict[str, float], outcome: str) -> None:
    assert rated(NUT, required)["requirements"]["all"] == outcome


def test_what_was_not_photographed_for_long_enough_does_not_pass() -> None:
    short = component(t0=NEW, t24=point(0.0, 0.0))
    assert rated(short, {"white": 72})["requirements"]["white"] == {"hours": 72, "outcome": "not shown"}
    assert rated(short)["requirements"] is None


def test_without_t0_or_without_white_nothing_is_claimed() -> None:
    late = rated(component(t24=point(5.0, 5.0)), {"red": 24})
    assert late["timepoints"]["24"]["rp"] is None
    assert late["first_red_corrosion_h"] is None
    assert late["requirements"]["all"] == "not shown"
    blind = rated(component(t0=point(None, 0.0), t24=point(None, 5.0)), {"white": 24})
    assert blind["timepoints"]["24"]["ra"] is None
    assert blind["timepoints"]["24"]["rp"] == 4
    assert blind["requirements"]["all"] == "not shown"


def test_lots_are_mean_deviation_and_worst() -> None:
    required = {"white": 24.0}
    records = [
        component("A #1", "A", t0=NEW, t24=point(1.0, 0.0)),
        component("A #2", "A", t0=NEW, t24=point(3.0, 0.0, status="DEGRADING")),
        component("A #3", "A", t0=NEW, t24=point(5.0, 0.0, status="DEGRADING"), t48=point(6.0, 0.0)),
        component("B", None, t0=NEW),
        component("C #1", "C", t0=NEW),
    ]
    (lot,) = lot_records([rated(one, required) for one in records], required)
    assert (lot["lot"], lot["specimens"]) == ("A", ["A #1", "A #2", "A #3"])
    assert lot["timepoints"]["24"]["white_corrosion_pct"] == {"mean": 3.0, "sd": 2.0, "worst": 5.0}
    assert lot["timepoints"]["24"]["ra"]["worst"] == 4
    assert (lot["timepoints"]["24"]["n"], lot["timepoints"]["24"]["degrading"]) == (3, 2)
    assert lot["timepoints"]["48"]["white_corrosion_pct"] == {"mean": 6.0, "sd": None, "worst": 6.0}
    assert lot["first_white_corrosion_h"] == [0.0, 24.0]
    assert lot["requirements"]["all"] == "fail"


def test_tables_say_what_they_hold() -> None:
    required = {"white": 72.0}
    records = [rated(NUT, required)]
    report = {"sheet": {"Test": "NSS"}, "required": required, "lots": [], "components": records}
    sheet, requirement, first = lab_tables(report)
    assert sheet.rows == (("Test", "NSS"),)
    assert requirement.rows == (("Nut", "fail", "FAIL"),)
    assert first.rows == (("Nut", "24 < t ≤ 48 h", "48 < t ≤ 72 h"),)
    assert share_table(records[0]).rows[-1] == (
        "T72 h", "12.0 (11.8 to 12.2)", "2.0 (1.8 to 2.2)", "3.0 (2.8 to 3.2)", "–",
    )  # fmt: skip
    assert rating_table(records[0]).rows[-1] == ("T72 h", "5", "2", "4", "5", "STABLE")
    assert interval_text(None, 72.0) == "none seen through 72 h"
    assert interval_text(None, None) == interval_text(None, 0.0) == "not known"


def test_a_sheet_is_read_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "test.yaml"
    path.write_text("operator: A. Müller\nlot: 0123\nsamples: [1, 02]\nstart: 2026-03-02\ntest: NSS\nend:\n")
    assert load_sheet(path).entries() == {
        "Test": "NSS", "Operator": "A. Müller", "Lot": "0123", "Samples": "1, 02", "Start": "2026-03-02",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("operater: x", "'operator'"),
        ("start: soon", "2026-01-31"),
        ("samples: {a: 1}", "samples"),
        ("- a", "key: value"),
        ("a: b: c", "not valid YAML"),
    ],
)
def test_a_bad_sheet_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "test.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        load_sheet(path)
    assert "test.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_sheet_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml"):
        load_sheet(tmp_path / "none.yaml")
