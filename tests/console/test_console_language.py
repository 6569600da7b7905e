"""Every text of the page and of reports is in the catalogues, and keeps what is filled in."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest
from console_factory import console

from fastener.console.language import CATALOGUES, Language, Words, _catalogue
from fastener.console.routes import reports
from fastener.inspection import input_check

STATIC = CATALOGUES.parent
SHOWN = {"title", "aria-label", "placeholder", "data-auto", "data-light", "data-dark"}
SAME = {"API", "PASS", "REVIEW", "FAIL", "NO PART", "PDF", "?"}  # the same in every language


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
    for name in ("shift_report.py", "report_html.py", "sign_in.py", "routes/reports.py", "routes/pages.py"):
        found |= set(re.findall(r'\bwords\(\s*"([^"]+)"', (STATIC.parent / name).read_text(encoding="utf-8")))
    found |= {*reports._ASKED.values(), *input_check._PROBLEMS.values(), input_check.NO_PART}
    return found - SAME


@pytest.mark.parametrize("language", [name for name in get_args(Language) if name != "en"])
def test_catalogues_are_complete_and_fill_in_the_same(language: Language) -> None:
    catalogue = _catalogue(language)
    assert sorted(texts() - set(catalogue)) == []
    for text, said in catalogue.items():
        assert said, text
        assert set(re.findall(r"\{\w+\}", said)) == set(re.findall(r"\{\w+\}", text)), text
    assert Words(language)("Inspections: {count}", count=3) != "Inspections: 3"


@pytest.mark.parametrize(
    ("headers", "language", "title"),
    [
        ({}, "en", "Sign in"),
        ({"accept-language": "de-DE,de;q=0.9,en;q=0.8"}, "de", "Anmelden"),
        ({"accept-language": "fr, ja;q=0.5"}, "ja", "サインイン"),
        ({"accept-language": "de", "cookie": "language=ja"}, "ja", "サインイン"),
        ({"accept-language": "xx", "cookie": "language=<b>"}, "en", "Sign in"),
    ],
)
def test_who_signs_in_is_asked_in_the_browsers_language(
    headers: dict[str, str], language: str, title: str, console_models: Path, tmp_path: Path
) -> None:
    with console(console_models, tmp_path, token="open sesame") as client:
        page = client.get("/", headers={"accept": "text/html", **headers})
        assert page.status_code == 401
        assert f'<html lang="{language}">' in page.text
        assert f"<button>{title}</button>" in page.text
        wrong = client.post("/session", data={"token": "wrong"}, headers=headers).text
        assert Words(language)("That is not the token.") in wrong  # type: ignore[arg-type]
