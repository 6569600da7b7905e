"""Fonts for captions: the bundled one, or a font of the system that has the characters of a text."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path

from PIL import ImageFont

_FOLDERS = {
    "linux": ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts"),
    "darwin": ("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
    "win32": (str(Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts"),),
}
# Beginnings of names of fonts with many scripts, looked at first.
_WIDE = (
    "notosanscjk", "notosansjp", "sourcehansans", "ipa", "takao", "vlgothic", "droidsansfallback", "wqy", "yugoth",
    "msgothic", "meiryo", "hiragino", "arialuni", "arial unicode", "unifont", "malgun", "msyh",
)  # fmt: skip
_SUFFIXES = {".ttf", ".ttc", ".otf"}


def font(size: int, text: str = "") -> ImageFont.FreeTypeFont:
    """Load the font of ``size`` pixels in which ``text`` can be drawn; the bundled one where there is none."""
    return _loaded(font_file(text) or bundled(), size)


@cache
def bundled() -> Path:
    """Find the font that matplotlib brings along."""
    import matplotlib  # loads slowly, and only those who draw need it

    return Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"


@cache
def font_file(text: str) -> Path | None:
    """Find a font with all characters of ``text``: the bundled one, else one of the system; None if there is none."""
    wanted = {ord(one) for one in text if not one.isspace()}
    return next((path for path in (bundled(), *_of_system()) if wanted <= _characters(path)), None)


def drawable(text: str) -> str:
    """Replace characters by "?" if no font of this machine has all of ``text``, so that no empty square is drawn."""
    if font_file(text) is not None:
        return text
    return "".join(one if one.isspace() or ord(one) in _characters(bundled()) else "?" for one in text)


@cache
def _loaded(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


@cache
def _characters(path: Path) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(str(path)).get_charmap())
    except (OSError, RuntimeError, ValueError):
        return frozenset()


@cache
def _of_system() -> tuple[Path, ...]:
    """List the fonts of the system with many scripts, the best known first."""
    found = []
    for folder in _FOLDERS.get(sys.platform, _FOLDERS["linux"]):
        for path in Path(folder).expanduser().rglob("*"):
            name = path.name.lower()
            rank = next((place for place, start in enumerate(_WIDE) if name.startswith(start)), None)
            if path.suffix.lower() in _SUFFIXES and rank is not None:
                found.append((rank, path))
    return tuple(path for _, path in sorted(found))
