"""Text in a PDF: no character without a glyph becomes an empty square."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib
import pytest
from reportlab.lib.styles import ParagraphStyle
from reportlab.platypus import Paragraph

from fastener.corrosion import pdf_fonts

# STIX has it, and DejaVu Sans lacks it.
RARE = "\N{LATIN SMALL LETTER X WITH PALATAL HOOK}"


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Neither the glyphs found before nor those of a test's own fonts count elsewhere."""
    pdf_fonts._font_of.cache_clear()
    pdf_fonts._registered.cache_clear()
    yield
    pdf_fonts._font_of.cache_clear()
    pdf_fonts._registered.cache_clear()


def test_latin_greek_and_signs_stay_in_one_font() -> None:
    assert pdf_fonts.markup("Prüfer <Ω> ≤ 48 h & Ж") == "Prüfer &lt;Ω&gt; ≤ 48 h &amp; Ж"


def test_a_character_that_no_font_shows_is_written_as_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_fonts, "_system_fonts", lambda: ["nowhere.ttf"])
    assert pdf_fonts.markup("A 盐雾 1") == "A [U+76D0][U+96FE] 1"


def test_a_font_of_the_system_that_has_the_glyph_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    font = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "STIXGeneral.ttf")
    monkeypatch.setattr(pdf_fonts, "_system_fonts", lambda: [font])
    marked = pdf_fonts.markup(f"<{RARE}")
    assert marked == f'&lt;<font name="System0">{RARE}</font>'
    paragraph = Paragraph(marked, ParagraphStyle("any", fontName=pdf_fonts.PLAIN))
    assert [piece.fontName for piece in paragraph.frags] == [pdf_fonts.PLAIN, "System0"]
