"""Write report.html: one self-contained page that holds its style and pictures and loads nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from fastener.corrosion.pictures import CLASS_TITLE
from fastener.corrosion.severity import NOT_JUDGED
from fastener.corrosion.tables import Table, component_tables, evidence_tables, lab_tables, rating_note
from fastener.corrosion.text import (
    headline,
    latest,
    notes,
    overview,
    rate_sentence,
    severity_words,
    signed,
)
from fastener.inspection.drawing import Picture

_STYLE = Path(__file__).with_name("report.css")
_GUIDE = Path(__file__).with_name("guide.html")


@dataclass(frozen=True)
class ShotRow:
    """Hold the pictures of one shot (photo, heatmap, mask) as data URIs, and the caption above them."""

    caption: str
    pictures: tuple[str, ...]


def data_uri(picture: Picture, quality: int = 85) -> str:
    """Encode a picture, uint8 RGB (H, W, 3), as a JPEG data URI for an ``img`` tag."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def png_uri(content: bytes) -> str:
    """Encode the bytes of a PNG file as a data URI for an ``img`` tag."""
    return "data:image/png;base64," + base64.b64encode(content).decode()


def page(
    report: Mapping[str, Any],
    rows: Mapping[str, Sequence[ShotRow]],
    strips: Mapping[str, Sequence[Picture]],
    charts: Mapping[str, bytes],
) -> str:
    """Write the whole page.

    ``rows`` maps components to rows of pictures, ``strips`` components to time-lapse strips of their views, and
    ``charts`` captions to PNG bytes.
    """
    records = report["components"]
    drawn = "".join(
        f'<figure class="chart"><img alt="{escape(text)}" src="{png_uri(content)}">'
        f"<figcaption>{escape(text)}</figcaption></figure>"
        for text, content in charts.items()
    )
    body = [
        _header(report),
        *(f"<section>{_table(table)}</section>" for table in lab_tables(report)),
        '<section><h2>At a glance</h2><div class="cards">' + "".join(map(_card, records)) + "</div></section>",
        f"<section><h2>All time points</h2>{_overview_table(records)}</section>",
        f"<section><h2>Progression</h2>{drawn}</section>" if drawn else "",
        *(
            _component(record, rows.get(record["component"], ()), strips.get(record["component"], ()))
            for record in records
        ),
        f'<section><h2>Areas and ratings</h2><p class="small">{escape(rating_note())}</p></section>',
        _GUIDE.read_text(encoding="utf-8"),
        '<section class="signatures"><p>Tested by</p><p>Checked by</p><p>Date</p></section>',
        _footer(report),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Corrosion report</title>'
        f"<style>{_STYLE.read_text(encoding='utf-8')}</style></head><body><main>"
        + "\n".join(body)
        + "</main></body></html>\n"
    )


def _header(report: Mapping[str, Any]) -> str:
    records = report["components"]
    shots = sum(len(point["shots"]) for record in records for point in record["timepoints"].values())
    return (
        f'<header><h1>Corrosion report</h1><p class="lead">{escape(overview(records))}</p>'
        f'<p class="meta">{len(records)} components, {shots} shots. '
        "Each component is compared with its own photos at T0.</p></header>"
    )


def _card(record: Mapping[str, Any]) -> str:
    point = latest(record)
    if not point:
        return f'<article class="card"><h3>{escape(record["component"])}</h3><p>No shot could be read.</p></article>'
    hours = list(record["timepoints"])[-1]
    damage = "" if point["damage_type"] == "none" else f"<p>{escape(point['damage_type'].capitalize())}</p>"
    return (
        f'<article class="card {_css(_kind(point))}"><h3>{escape(record["component"])}</h3>'
        f'<p class="big">{_corroded(point)}<span> at T{hours}</span></p>'
        f'<p class="small">{escape(headline(point))}</p>'
        f"<p>{_status(point)} {_severity(point)}</p>{damage}</article>"
    )


def _corroded(point: Mapping[str, Any]) -> str:
    """Write the change of all corrosion since T0 in the worst view; without T0, the share of rust."""
    changes = point["worst_view_changes"]
    if changes is None:
        return f"{point['colour_rust_pct']:.1f}&nbsp;% rust"
    if point["status"] == NOT_JUDGED:
        return "–"
    total = sum(changes[kind] or 0.0 for kind in ("white", "red", "dark"))
    return f"{total:+.1f}&nbsp;points"


def _overview_table(records: Sequence[Mapping[str, Any]]) -> str:
    hours = sorted({float(key) for record in records for key in record["timepoints"]})
    head = "".join(f"<th>T{at:g} h</th>" for at in hours)
    lines = []
    for record in records:
        cells = "".join(_cell(record["timepoints"].get(f"{at:g}")) for at in hours)
        lines.append(f'<tr><th scope="row">{escape(record["component"])}</th>{cells}</tr>')
    return (
        f'<div class="scroll"><table><thead><tr><th>Component</th>{head}</tr></thead><tbody>{"".join(lines)}'
        '</tbody></table></div><p class="small">Corrosion since T0 in the worst view (white, red, dark), its severity. '
        "An empty cell means that there is no photo, not 0 %.</p>"
    )


def _cell(point: Mapping[str, Any] | None) -> str:
    if point is None:
        return '<td class="none">no photo</td>'
    return f'<td class="{_css(_kind(point))}"><b>{_corroded(point)}</b><br>{escape(severity_words(point))}</td>'


def _component(record: Mapping[str, Any], rows: Sequence[ShotRow], strips: Sequence[Picture]) -> str:
    remarks = "".join(f"<li>{escape(note)}</li>" for note in notes(record))
    drawn = "".join(_pictures(row) for row in rows)
    heads = (
        '<div class="shot heads"><span>Photo, as measured</span>'
        + ("<span>Heatmap of the model</span>" if len(rows[0].pictures) > 2 else "")
        + f"<span>{CLASS_TITLE.capitalize()}</span></div>"
        if rows
        else ""
    )
    return (
        f'<section class="component"><h2>{escape(record["component"])}</h2><p>{escape(rate_sentence(record))}</p>'
        f"{''.join(_table(table, 'h3') for table in component_tables(record))}{_point_table(record)}{_strips(strips)}"
        + (
            f'<details open><summary>Remarks on the photos</summary><ul class="notes">{remarks}</ul></details>'
            if remarks
            else ""
        )
        + heads
        + drawn
        + "</section>"
    )


def _point_table(record: Mapping[str, Any]) -> str:
    if not record["timepoints"]:
        return ""
    head = "".join(
        f"<th>{name}</th>"
        for name in (
            "Time",
            "Rust",
            "95 % interval",
            "Change since T0",
            "Change since before",
            "Tarnish",
            "Green",
            "Heatmap growth",
            "Status",
            "Severity",
            "Damage",
        )
    )
    lines = "".join(_point_line(hours, point) for hours, point in record["timepoints"].items())
    return (
        "<h3>Rust, other colours, status</h3>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
    )


def _point_line(hours: str, point: Mapping[str, Any]) -> str:
    low, high = point["colour_rust_ci95"]
    noise = "" if point["colour_noise"] is None else f' <span class="small">(noise {point["colour_noise"]:.1f})</span>'
    growth = "&ndash;" if point["heatmap_growth_pct"] is None else f"{point['heatmap_growth_pct']:.1f} %"
    cells = [
        f"T{escape(hours)} h",
        f"<b>{point['colour_rust_pct']:.2f} %</b>",
        f"{low:.1f} to {high:.1f} %",
        signed(point["colour_delta_vs_t0"], 1) + noise,
        signed(point["colour_delta_vs_prev"], 1),
        f"{point['colour_tarnish_pct']:.1f} %",
        f"{point['colour_green_ox_pct']:.1f} %",
        growth,
        _status(point),
        _severity(point),
        escape(point["damage_type"]),
    ]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _pictures(row: ShotRow) -> str:
    images = "".join(f'<img alt="{escape(row.caption)}" src="{source}">' for source in row.pictures)
    return f'<p class="caption">{escape(row.caption)}</p><div class="shot">{images}</div>'


def _status(point: Mapping[str, Any]) -> str:
    status = point["status"] or "NO BASELINE"
    return f'<span class="pill {_css(status)}">{status}</span>'


def _severity(point: Mapping[str, Any]) -> str:
    return f'<span class="pill {_css(_kind(point))}">{escape(severity_words(point))}</span>'


def _kind(point: Mapping[str, Any]) -> str:
    """Return what colours a moment: its severity, or that it was not judged."""
    return str(point["status"] if point["status"] == NOT_JUDGED else point["severity"])


def _css(word: str) -> str:
    return word.lower().replace(" ", "-")


def _strips(strips: Sequence[Picture]) -> str:
    if not strips:
        return ""
    drawn = "".join(f'<img class="strip" alt="Time lapse of a view" src="{data_uri(strip)}">' for strip in strips)
    return f"<h3>Time lapse</h3>{drawn}" + (
        '<p class="small">Each view laid over its T0 photo. Contours: classes as in the pictures below.</p>'
    )


def _table(table: Table, heading: str = "h2") -> str:
    if not table.rows:
        return ""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.head)
    head = f"<thead><tr>{head}</tr></thead>" if head else ""
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    note = f'<p class="small">{escape(table.note)}</p>' if table.note else ""
    return (
        f"<{heading}>{escape(table.title)}</{heading}>"
        f'<div class="scroll"><table class="lab">{head}<tbody>{rows}</tbody></table></div>{note}'
    )


def _footer(report: Mapping[str, Any]) -> str:
    tables = "".join(_table(table, "h3") for table in evidence_tables(report))
    return f'<footer class="evidence">{tables}</footer>'
