"""Every text of the page and of reports is in the catalogues, and keeps what is filled in."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import get_args

import pytest

from fastener.console.language import CATALOGUES, Language, Words, _catalogue
from fastener.console.routes import reports

STATIC = CATALOGUES.parent
SHOWN = {"title", "aria-label", "placeholder", "data-auto", "data-light", "data-dark"}
SAME = {"API", "PASS", "LOOK", "FAIL", "NO PART", "PDF", "?"}  # the same in every language


class _Page(HTMLParser):
    """Collects what people read in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: set[str] = set()
        self._hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden = tag in ("kbd", "script")
        self.texts |= {value for name, value in attrs if name in SHOWN and value}

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        text = " ".join(data.split())
        if re.search("[A-Za-z]{2}", text) and not self._hidden:
            self.texts.add(text)


def texts() -> set[str]:
    page = _Page()
    page.feed((STATIC / "index.html").read_text(encoding="utf-8"))
    found = page.texts
    for file in STATIC.glob("*.js"):
        found |= set(re.findall(r'\bt\(\s*"([^"]+)"', file.read_text(encoding="utf-8")))
    for name in ("shift_report.py", "report_html.py", "routes/reports.py"):
        found |= set(re.findall(r'\bwords\(\s*"([^"]+)"', (STATIC.parent / name).read_text(encoding="utf-8")))
    return (found | set(reports._ASKED.values())) - SAME


@pytest.mark.parametrize("language", [name for name in get_args(Language) if name != "en"])
def test_catalogues_are_complete_and_fill_in_the_same(language: Language) -> None:
    catalogue = _catalogue(language)
    assert sorted(texts() - set(catalogue)) == []
    for text, said in catalogue.items():
        assert said, text
        assert set(re.findall(r"\{\w+\}", said)) == set(re.findall(r"\{\w+\}", text)), text
    assert Words(language)("{count} inspections", count=3) != "3 inspections"
