"""Say the texts of reports in the language of the page, from the same catalogues."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Literal

CATALOGUES = Path(__file__).parent / "static" / "lang"
Language = Literal["en", "de", "ja"]


class Words:
    """Texts of one language. English needs no catalogue: its texts are the keys.

    Parameters
    ----------
    language : str
        "en", "de" or "ja".

    Examples
    --------
    >>> Words("de")("{count} inspections", count=3)
    '3 Prüfungen'
    """

    def __init__(self, language: Language = "en"):
        self.language = language
        self._texts = _catalogue(language)

    def __call__(self, text: str, **values: object) -> str:
        """Translate ``text`` and fill ``values`` in; a text that the catalogue lacks stays English."""
        return self._texts.get(text, text).format(**values)


@cache
def _catalogue(language: Language) -> dict[str, str]:
    if language == "en":
        return {}
    found: dict[str, str] = json.loads((CATALOGUES / f"{language}.json").read_text(encoding="utf-8"))
    return found
