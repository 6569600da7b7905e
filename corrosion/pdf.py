"""Write report.pdf: the report on A4 pages, with its tables, charts and time-lapse strips."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from PIL import Image as PilImage
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    Flowable,
    Image,
    KeepTogether,
    PageBreak,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    TableStyle,
)
from reportlab.platypus import Table as Grid

from fastener.corrosion.pdf_fonts import BOLD, PLAIN, markup, register_fonts
from fastener.corrosion.tables import Table, component_tables, evidence_tables, lab_tables, rating_note
from fastener.corrosion.text import notes, overview, rate_sentence
from fastener.inspection.drawing import Picture

_MARGIN = 18 * mm
# A frame of reportlab keeps 6 points free on either side.
_WIDTH = A4[0] - 2 * _MARGIN - 12
_INK, _SOFT, _LINE = colors.HexColor("#1d2733"), colors.HexColor("#5d6875"), colors.HexColor("#c5ccd4")
# Dots per inch at which pictures are printed: enough for a lab sheet, and a small file.
_DPI = 200
_STRIPS = (
    "Each view laid over its T0 photo. Contours: white corrosion blue, red rust orange, dark violet, tarnish yellow, "
    "green oxidation green."
)
_SIGNATURES = ("Tested by", "Checked by", "Date")


def pdf(report: Mapping[str, Any], strips: Mapping[str, Sequence[Picture]], charts: Mapping[str, bytes]) -> bytes:
    """Write the whole document.

    ``report`` is the content of report.json, ``strips`` maps components to the time-lapse strips of their views, and
    ``charts`` captions to PNG bytes. The same content gives the same bytes.
    """
    register_fonts()
    story: list[Flowable] = [_text("Corrosion report", "title"), _text(overview(report["components"]), "lead")]
    for table in lab_tables(report):
        story += _table(table)
    for record in report["components"]:
        story += _component(record, strips.get(record["component"], ()))
    if report["components"]:
        story.append(_text(rating_note(), "small"))
    for caption, content in charts.items():
        story.append(KeepTogether([_image(PilImage.open(io.BytesIO(content)), 200 * mm), _text(caption, "small")]))
    story += _signatures()
    story.append(PageBreak())
    for table in evidence_tables(report):
        story += _table(table)
    buffer = io.BytesIO()
    document = SimpleDocTemplate(
        buffer,
        pagesize=A4,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN,
        title="Corrosion report",
        invariant=1,  # no time of writing, no random identifier
    )
    document.build(story, onFirstPage=_foot, onLaterPages=_foot)
    return buffer.getvalue()


def _component(record: Mapping[str, Any], strips: Sequence[Picture]) -> list[Flowable]:
    head: list[Flowable] = [_text(record["component"], "heading")]
    if sentence := rate_sentence(record):
        head.append(_text(sentence, "body"))
    first, *others = [_strip(strip) for strip in strips] or [Spacer(0, 0)]
    story: list[Flowable] = [KeepTogether([*head, first])]
    story += others
    if strips:
        story.append(_text(_STRIPS, "small"))
    for table in component_tables(record):
        story += _table(table, heading="subheading")
    if remarks := notes(record):
        story += [_text("Remarks on the photos", "subheading"), *(_text(f"• {one}", "small") for one in remarks)]
    return story


def _table(table: Table, heading: str = "heading") -> list[Flowable]:
    """Lay out a table over the whole width; rows may continue on the next page under the same head."""
    columns = len(table.head) or 2
    rows = [[_text(cell, "head") for cell in table.head]] if table.head else []
    rows += [[_text(cell, "cell") for cell in row] for row in table.rows]
    style = TableStyle(
        [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LINEBELOW", (0, 0), (-1, -1), 0.4, _LINE),
            ("LEFTPADDING", (0, 0), (-1, -1), 3),
            ("LEFTPADDING", (0, 0), (0, -1), 0),
            ("RIGHTPADDING", (0, 0), (-1, -1), 3),
            ("TOPPADDING", (0, 0), (-1, -1), 2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
        ]
    )
    grid = Grid(rows, colWidths=_widths(table, columns), style=style, repeatRows=1 if table.head else 0)
    story: list[Flowable] = [_text(table.title, heading), grid]
    if table.note:
        story.append(_text(table.note, "small"))
    # A short table stays with its heading; a long one has to break.
    return [KeepTogether(story)] if len(rows) <= 12 else story


def _widths(table: Table, columns: int) -> list[float]:
    """Give each column the width of its longest word, and share the rest by the longest text of each."""
    texts = [*([table.head] if table.head else []), *table.rows]
    words = [
        max((word for row in texts for word in row[column].split()), key=len, default="") for column in range(columns)
    ]
    least = np.array([min(pdfmetrics.stringWidth(word, BOLD, 8) + 8, _WIDTH / 2) for word in words])
    longest = [max(len(row[column]) for row in texts) for column in range(columns)]
    weights = np.clip(longest, 7, 64).astype(float)
    rest = _WIDTH - least.sum()
    shared = least + rest * weights / weights.sum() if rest > 0 else _WIDTH * least / least.sum()
    return [float(one) for one in shared]


def _signatures() -> list[Flowable]:
    line = Grid(
        [[_text(name, "small") for name in _SIGNATURES]],
        colWidths=[_WIDTH / len(_SIGNATURES)] * len(_SIGNATURES),
        style=TableStyle([("LINEABOVE", (index, 0), (index, 0), 0.6, _INK) for index in range(len(_SIGNATURES))]),
    )
    return [Spacer(0, 22 * mm), line]


def _strip(picture: Picture) -> Image:
    """Fit a time lapse into the width of the text; one of few frames is no higher than one of four."""
    one_row = picture.shape[1] > 1.7 * picture.shape[0]
    return _image(PilImage.fromarray(picture), (48 if one_row else 120) * mm)


def _image(picture: PilImage.Image, highest: float) -> Image:
    """Fit a picture into the width of the text and ``highest`` points, as a JPEG of 200 dots per inch."""
    scale = min(_WIDTH / picture.width, highest / picture.height)
    width, height = picture.width * scale, picture.height * scale
    pixels = (max(1, round(width / 72 * _DPI)), max(1, round(height / 72 * _DPI)))
    small = picture.convert("RGB")
    if pixels[0] < picture.width:
        small = small.resize(pixels, PilImage.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    buffer.seek(0)
    return Image(buffer, width, height)


def _foot(canvas: Canvas, document: Any) -> None:
    canvas.saveState()
    canvas.setFont(PLAIN, 7.5)
    canvas.setFillColor(_SOFT)
    canvas.drawRightString(A4[0] - _MARGIN, 10 * mm, f"Page {document.page}")
    canvas.drawString(_MARGIN, 10 * mm, "Corrosion report")
    canvas.restoreState()


def _text(text: str, style: str) -> Paragraph:
    return Paragraph(markup(text), _styles()[style])


@cache
def _styles() -> dict[str, ParagraphStyle]:
    def style(name: str, size: float, **more: Any) -> ParagraphStyle:
        font = BOLD if more.pop("bold", False) else PLAIN
        return ParagraphStyle(
            name, fontName=font, fontSize=size, leading=1.35 * size, textColor=_INK, splitLongWords=1, **more
        )

    return {
        "title": style("title", 20, bold=True, spaceAfter=4),
        "lead": style("lead", 11, spaceAfter=4),
        "heading": style("heading", 13, bold=True, spaceBefore=12, spaceAfter=4, keepWithNext=1),
        "subheading": style("subheading", 9.5, bold=True, spaceBefore=6, spaceAfter=2, keepWithNext=1),
        "body": style("body", 9, spaceAfter=3),
        "small": style("small", 7.5, spaceBefore=2, spaceAfter=2),
        "head": style("head", 8, bold=True),
        "cell": style("cell", 8),
    }
