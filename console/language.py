"""Say the texts of reports in the language of the page, from the same catalogues."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from starlette.requests import HTTPConnection

CATALOGUES = Path(__file__).parent / "static" / "lang"
Language = Literal["en", "de", "ja"]
_COOKIE = "language"  # in which the page keeps what was chosen there


class Words:
    """Texts of one language. English needs no catalogue: its texts are the keys.

    Parameters
    ----------
    language : str
        "en", "de" or "ja".

    Examples
    --------
    >>> Words("de")("Inspections: {count}", count=3)
    'Prüfungen: 3'
    """

    def __init__(self, language: Language = "en"):
        self.language = language
        self._texts = _catalogue(language)

    def __call__(self, text: str, **values: object) -> str:
        """Translate ``text`` and fill ``values`` in; a text that the catalogue lacks stays English."""
        found = self._texts.get(text, text)
        return found.format(**values) if values else found  # texts of other programs may hold braces

    def number(self, text: str) -> str:
        """Write a number with the language's decimal mark."""
        return text.replace(".", ",") if self.language == "de" else text


def words_for(request: HTTPConnection) -> Words:
    """Choose the language of a browser as the page does: what was chosen there, else what the browser asks for."""
    asked = [request.cookies.get(_COOKIE, ""), *request.headers.get("accept-language", "").split(",")]
    tags = (tag.strip()[:2].lower() for tag in asked)
    known: dict[str, Language] = {language: language for language in get_args(Language)}
    fallback: Language = "en"
    return Words(next((known[tag] for tag in tags if tag in known), fallback))


@cache
def _catalogue(language: Language) -> dict[str, str]:
    if language == "en":
        return {}
    found: dict[str, str] = json.loads((CATALOGUES / f"{language}.json").read_text(encoding="utf-8"))
    return found
