"""Write a shift report as PDF on A4 pages."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    CondPageBreak,
    Flowable,
    Image,
    KeepTogether,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    TableStyle,
)
from reportlab.platypus import Table as Grid

from fastener.console.characters import visible
from fastener.console.shift_report import ShiftReport, Stopped, Table

_MARGIN = 18 * mm
_WIDTH = A4[0] - 2 * _MARGIN
_LINE = colors.HexColor("#999999")
_ACROSS, _SIDE = 3, 17 * mm
_HEAD = 7.5  # points, in the heads of tables
_EAST_ASIAN = "HeiseiKakuGo-W5"  # every PDF reader has a font for it; DejaVu lacks these characters


def report_pdf(report: ShiftReport, thumbnail: Callable[[str], bytes | None]) -> bytes:
    """Write the document; ``thumbnail`` returns the JPEG of an image's checksum, None for one that is not kept."""
    _register_fonts()
    story: list[Flowable] = [_text(report.title, "title"), _text(report.summary, "lead")]
    story.append(_grid([[_text(name, "cell"), _text(value, "cell")] for name, value in report.facts], [45 * mm]))
    for table in report.tables:
        story += _table(table)
    if report.stopped:
        # A heading that keeps with its table would take the whole table to the next page.
        story += [CondPageBreak(50 * mm), _text(report.stopped_title, "free heading")]
        cells = [_cell(one, thumbnail) for one in report.stopped]
        cells += [[]] * (-len(cells) % _ACROSS)
        lines = [cells[start : start + _ACROSS] for start in range(0, len(cells), _ACROSS)]
        story.append(_grid(lines, [_WIDTH / _ACROSS] * (_ACROSS - 1)))
    if report.further:
        story.append(_text(report.further, "cell"))
    story.append(KeepTogether([Spacer(0, 20 * mm), _signatures(report.signatures)]))
    buffer = io.BytesIO()
    margins = dict.fromkeys(("leftMargin", "rightMargin", "topMargin", "bottomMargin"), _MARGIN)
    document = SimpleDocTemplate(buffer, pagesize=A4, title=report.title, **margins)
    document.build(story, onFirstPage=_foot, onLaterPages=_foot)
    return buffer.getvalue()


def _table(table: Table) -> list[Flowable]:
    rows = [[_text(cell, "head") for cell in table.head]]
    for row in table.rows:
        kept_together = [cell.replace(" ", "\u00a0") for cell in row[table.words :]]  # "33.3 %"
        rows.append([_text(cell, "cell") for cell in (*row[: table.words], *kept_together)])
    figures = [_least_width(name) for name in table.head[table.words :]]
    first = (_WIDTH - sum(figures)) / table.words
    grid = _grid(rows, [first] * table.words + figures[:-1], repeat=1)
    return [_text(table.title, "heading"), grid]


def _least_width(head: str) -> float:
    """Return the width of a column of figures, in points: no word of its head is broken, and two lines may do."""
    words = [*head.split(), head[: len(head) // 2]]
    longest: float = max(pdfmetrics.stringWidth(word, "Console-Bold", _HEAD) for word in words)
    least: float = 13 * mm
    return max(least, longest + 10)


def _cell(one: Stopped, thumbnail: Callable[[str], bytes | None]) -> list[Flowable]:
    content = thumbnail(one.image_checksum)
    picture: list[Flowable] = []
    if content is not None:
        picture = [Image(io.BytesIO(content), _SIDE, _SIDE, kind="proportional", hAlign="LEFT")]
    return [*picture, *(_text(line, "small") for line in one.lines)]


def _grid(rows: list[list[Any]], widths: list[float], repeat: int = 0) -> Grid:
    """Lay out rows over the whole width; the last column takes what ``widths`` leave."""
    # Paragraphs of a frame stand 6 points in; so do these.
    style = [("VALIGN", (0, 0), (-1, -1), "TOP"), ("LINEBELOW", (0, 0), (-1, -1), 0.4, _LINE)]
    style += [("LEFTPADDING", (0, 0), (-1, -1), 6), ("RIGHTPADDING", (0, 0), (-1, -1), 2)]
    return Grid(rows, colWidths=[*widths, _WIDTH - sum(widths)], style=TableStyle(style), repeatRows=repeat)


def _signatures(names: tuple[str, ...]) -> Grid:
    lines = TableStyle([("LINEABOVE", (index, 0), (index, 0), 0.6, colors.black) for index in range(len(names))])
    return Grid([[_text(name, "small") for name in names]], colWidths=[_WIDTH / len(names)] * len(names), style=lines)


def _foot(canvas: Canvas, document: Any) -> None:
    canvas.setFont("Console", 7.5)
    canvas.drawRightString(A4[0] - _MARGIN, 10 * mm, str(document.page))


def _text(text: str, style: str) -> Paragraph:
    """Make a paragraph whose East Asian characters are in a font that has them."""
    parts, wide = [""], False
    for character in visible(text):
        if (character >= "\u2e80") != wide:
            wide = not wide
            parts.append("")
        parts[-1] += character
    escaped = [escape(part) for part in parts]
    escaped[1::2] = [f'<font name="{_EAST_ASIAN}">{part}</font>' for part in escaped[1::2]]
    return Paragraph("".join(escaped), _styles()[style])


@cache
def _styles() -> dict[str, ParagraphStyle]:
    def style(name: str, size: float, font: str = "Console", **more: Any) -> ParagraphStyle:
        return ParagraphStyle(name, fontName=font, fontSize=size, leading=1.35 * size, splitLongWords=1, **more)

    return {
        "title": style("title", 20, "Console-Bold", spaceAfter=4),
        "lead": style("lead", 12, spaceAfter=6),
        "heading": style("heading", 12, "Console-Bold", spaceBefore=12, spaceAfter=4, keepWithNext=1),
        "free heading": style("free heading", 12, "Console-Bold", spaceBefore=12, spaceAfter=4),
        "head": style("head", _HEAD, "Console-Bold"),
        "cell": style("cell", 8.5),
        "small": style("small", 7.5),
    }


@cache
def _register_fonts() -> None:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for name, file in (("Console", "DejaVuSans.ttf"), ("Console-Bold", "DejaVuSans-Bold.ttf")):
        pdfmetrics.registerFont(TTFont(name, str(folder / file)))
    pdfmetrics.registerFont(UnicodeCIDFont(_EAST_ASIAN))
