"""Lay out what a laboratory reports as plain tables, which the page and the PDF print alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastener.corrosion.ratings import NOT_MEASURED, SHARES
from fastener.corrosion.text import model_line, name_of

_NONE = "–"
_SHARE_NAMES = {"white": "White corrosion", "red": "Red rust", "dark": "Dark, coating lost"}


@dataclass(frozen=True)
class Table:
    """Hold a table of texts.

    Parameters
    ----------
    title
        Its heading.
    head
        Titles of the columns; empty for a list of labels and texts.
    rows
        The cells, each row as long as ``head``.
    note
        What a reader must know of it; may be empty.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def lab_tables(report: Mapping[str, Any]) -> list[Table]:
    """Return the tables at the head of a report: lab sheet, requirement, first corrosion, lots; none that is empty."""
    tables = [_sheet(report), _requirement(report), _first(report), *map(_lot, report["lots"])]
    return [table for table in tables if table.rows]


def component_tables(record: Mapping[str, Any]) -> list[Table]:
    """Return the tables of a component: its areas, its ratings, and its areas in mm² where a scale is known."""
    return [table for table in (share_table(record), rating_table(record), area_table(record)) if table.rows]


def share_table(record: Mapping[str, Any]) -> Table:
    """Return the areas of a component at each time point, in percent: the mean over the views, and the worst view."""
    areas = [kind for kind, (share, _) in SHARES.items() if any(p[share] is not None for p in _points(record))]
    titles = (f"{_SHARE_NAMES[kind]} (95 %)" for kind in areas)
    rows = []
    for hours, point in record["timepoints"].items():
        shares = (_share(point, *SHARES[kind]) for kind in areas)
        rows.append((f"T{hours} h", *shares, _worst_view(point, areas)))
    return Table("Areas in %", ("Time", *titles, "Worst view"), tuple(rows))


def rating_table(record: Mapping[str, Any]) -> Table:
    """Return the ratings of a component at each time point."""
    rows = []
    for hours, point in record["timepoints"].items():
        words = (_grade(point, name) for name in ("rp", "ra", "ri", "astm_d610"))
        rows.append((f"T{hours} h", *words, point["status"] or "NO BASELINE"))
    return Table("Ratings", ("Time", "Rp", "RA", "Ri", "ASTM D610", "Status"), tuple(rows))


def area_table(record: Mapping[str, Any]) -> Table:
    """Return the areas of a component in mm² at each time point; empty without a scale."""
    columns = {
        "Visible surface": "part_area_mm2",
        "White corrosion": "white_area_mm2",
        "Red rust": "rust_area_mm2",
        "Dark, coating lost": "dark_area_mm2",
    }
    known = {name: key for name, key in columns.items() if any(p.get(key) is not None for p in _points(record))}
    rows = [
        (f"T{hours} h", *(_NONE if point[key] is None else f"{point[key]:.2f}" for key in known.values()))
        for hours, point in record["timepoints"].items()
    ]
    return Table("Areas in mm²", ("Time", *known), tuple(rows) if known else (), "Means over the shots of a moment.")


def rating_note() -> str:
    """Explain the ratings, and name what is not measured."""
    return (
        "Areas in % of the significant surface. Ratings count what the exposure added to T0; in brackets, their range "
        "over the 95 % interval. Rp (red rust) and RA (all defects): ISO 10289, ASTM B537, 10 is best. Ri: ISO 4628-3, "
        "0 is best. D610: ASTM D610, 10 is best, without its type of distribution. "
        + " ".join(f"{name.replace('_', ' ').upper()} is not measured: {why}." for name, why in NOT_MEASURED.items())
    )


def evidence_tables(report: Mapping[str, Any]) -> list[Table]:
    """Return the tables at the end of a report: photos with checksums, software, settings, skipped files."""
    photos = [(name_of(one["path"]), one["sha256"] or "could not be read") for one in report["photos"]]
    model = [("Model", model_line(report))]
    settings = [
        (f"{section}.{key}", _plain(value))
        for section, values in report["settings"].items()
        for key, value in values.items()
    ]
    settings.insert(0, ("significant surface", report["zone"] or "the whole visible part"))
    return [
        Table("Photos", ("File", "SHA-256"), tuple(photos)),
        Table("Software", (), (*report["software"].items(), *model)),
        Table("Settings", (), tuple(settings)),
        *([Table("Skipped files", (), tuple(report["skipped_because"].items()))] if report["skipped_because"] else []),
    ]


def plain_text(table: Table) -> str:
    """Write a table as lines of text in columns, for summary.txt."""
    rows = [*([table.head] if table.head else []), *table.rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join([table.title, "-" * len(table.title), *lines, ""])


def interval_text(interval: Sequence[float] | None, clear_until: float | None) -> str:
    """Write the hours of first corrosion: ``24 < t ≤ 48 h``, or that none was seen."""
    if interval is not None:
        return f"{interval[0]:g} < t ≤ {interval[1]:g} h"
    # Every part is sound at T0, so that alone says nothing.
    return "not known" if not clear_until else f"none seen through {clear_until:g} h"


def _sheet(report: Mapping[str, Any]) -> Table:
    return Table("Test", (), tuple((report["sheet"] or {}).items()))


def _requirement(report: Mapping[str, Any]) -> Table:
    required = report["required"]
    if not required:
        return Table("Requirement", (), ())
    in_lots = {name for lot in report["lots"] for name in lot["specimens"]}
    judged = [(f"Lot {lot['lot']} ({len(lot['specimens'])} specimens)", lot) for lot in report["lots"]]
    judged += [(one["component"], one) for one in report["components"] if one["component"] not in in_lots]
    rows = [
        (name, *(one["requirements"][kind]["outcome"] for kind in required), one["requirements"]["all"].upper())
        for name, one in judged
    ]
    heads = (f"No {kind} corrosion through {hours:g} h" for kind, hours in required.items())
    return Table(
        "Requirement",
        ("Lot or component", *heads, "Outcome"),
        tuple(rows),
        'A lot passes if all its specimens do. A trace counts as none. "not shown": not inspected for as long '
        "without corrosion, or first seen between two inspections of which only the earlier lies within the hours.",
    )


def _first(report: Mapping[str, Any]) -> Table:
    rows = []
    for record in report["components"]:
        cells = (
            interval_text(record[f"first_{kind}_corrosion_h"], record["clear_until_h"][kind])
            for kind in ("white", "red")
        )
        rows.append((record["component"], *cells))
    return Table(
        "First corrosion",
        ("Component", "First white corrosion", "First red corrosion"),
        tuple(rows),
        "Between the last inspection without and the first with it (as ISO 4042 and ISO 9227 report it).",
    )


def _lot(lot: Mapping[str, Any]) -> Table:
    rows = []
    for hours, point in lot["timepoints"].items():
        cells = [_spread(point[key]) for key in ("white_corrosion_pct", "colour_rust_pct", "dark_pct", "rp", "ra")]
        rows.append((f"T{hours} h", str(point["n"]), *cells, f"{point['degrading']} of {point['n']}"))
    first = ", ".join(
        f"first {kind} {interval_text(lot[f'first_{kind}_corrosion_h'], lot['clear_until_h'][kind])}"
        for kind in ("white", "red")
    )
    return Table(
        f"Lot {lot['lot']}",
        ("Time", "n", "White (%)", "Red (%)", "Dark (%)", "Rp", "RA", "Degrading"),
        tuple(rows),
        f"Mean ± standard deviation over the specimens, and the worst. {first.capitalize()}. "
        f"Specimens: {', '.join(lot['specimens'])}.",
    )


def _points(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(record["timepoints"].values())


def _share(point: Mapping[str, Any], share: str, interval: str) -> str:
    if point[share] is None:
        return _NONE
    low, high = point[interval]
    return f"{point[share]:.1f} ({low:.1f} to {high:.1f})"


def _worst_view(point: Mapping[str, Any], kinds: Sequence[str]) -> str:
    """Name the worst view, and its shares."""
    shot = next((one for one in point["shots"] if one["path"] == point.get("worst_view")), None)
    if shot is None:
        return _NONE
    shares = ((kind, shot.get(SHARES[kind][0])) for kind in kinds)
    figures = ", ".join(f"{kind} {share:.1f}" for kind, share in shares if share is not None)
    return f"{name_of(shot['path'])}: {figures}" if len(point["shots"]) > 1 else figures


def _grade(point: Mapping[str, Any], name: str) -> str:
    if point[name] is None:
        return _NONE
    low, high = point[f"{name}_range"]
    return str(point[name]) if low == high else f"{point[name]} ({low} to {high})"


def _spread(figures: Mapping[str, Any] | None) -> str:
    if figures is None:
        return _NONE
    spread = "" if figures["sd"] is None else f" ± {figures['sd']:.1f}"
    return f"{figures['mean']:.1f}{spread}, worst {figures['worst']:.3g}"


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
