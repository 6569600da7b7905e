"""Write any text into a PDF: in the font that Matplotlib brings, and in fonts of the system where it has no glyph."""

from __future__ import annotations

from functools import cache
from html import escape
from itertools import groupby
from pathlib import Path

import matplotlib
from matplotlib.font_manager import findSystemFonts
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFError, TTFont

PLAIN, BOLD = "Report", "Report-Bold"
_FILES = {PLAIN: "DejaVuSans.ttf", BOLD: "DejaVuSans-Bold.ttf"}


@cache
def register_fonts() -> None:
    """Embed DejaVu, because the fonts of every PDF reader lack ≤, Greek and Cyrillic."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for name, file in _FILES.items():
        pdfmetrics.registerFont(TTFont(name, str(folder / file)))


def markup(text: str) -> str:
    """Escape a text for a reportlab paragraph; characters without a glyph take another font, or show as [U+4E2D]."""
    register_fonts()
    parts = []
    for font, run in groupby(text, key=_font_of):
        piece = "".join(run)
        if font is None:
            parts.append("".join(f"[U+{ord(one):04X}]" for one in piece))
        else:
            parts.append(escape(piece) if font == PLAIN else f'<font name="{font}">{escape(piece)}</font>')
    return "".join(parts)


@cache
def _font_of(character: str) -> str | None:
    """Return the registered font that shows a character; None if no font does."""
    if character.isspace() or _shows(PLAIN, character):
        return PLAIN
    names = (_registered(path, f"System{index}") for index, path in enumerate(_system_fonts()))
    return next((name for name in names if name is not None and _shows(name, character)), None)


def _shows(name: str, character: str) -> bool:
    return ord(character) in pdfmetrics.getFont(name).face.charToGlyph


def _system_fonts() -> list[str]:
    return sorted(findSystemFonts(fontext="ttf"))


@cache
def _registered(path: str, name: str) -> str | None:
    """Register a font of the system; None for those that reportlab cannot embed, such as PostScript outlines."""
    try:
        pdfmetrics.registerFont(TTFont(name, path))
    except (TTFError, OSError):
        return None
    return name
