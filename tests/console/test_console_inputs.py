"""The console behind a proxy, in other time zones, with many files, with odd names."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from console_factory import console, send
from hypothesis import given
from hypothesis import strategies as st

from fastener.console.catalogue import Catalogue
from fastener.console.database import folded
from fastener.console.statistics import per_day, zone_of

STATIC = Path(__file__).parents[2] / "console" / "static"


@pytest.mark.parametrize("file", sorted(path.name for path in STATIC.iterdir() if path.suffix in (".js", ".html")))
def test_every_address_is_relative(file: str) -> None:
    text = (STATIC / file).read_text()
    absolute = re.findall(r"""(?:href|src|action)=?[ :]*["'`]/[^"'`]*""", text)
    absolute += re.findall(r"""(?:fetch|fetchJson|request)\(["'`]/[^"'`]*""", text)
    assert absolute == []


def test_the_sign_in_form_and_the_redirects_are_relative(console_models: Path, tmp_path: Path) -> None:
    with console(console_models, tmp_path, token="a long one") as client:
        html = {"accept": "text/html"}
        assert 'action="session"' in client.get("/", headers=html).text
        assert 'action="../session"' in client.get("/inspections/x", headers=html).text.replace("../../", "../")
        answer = client.post("/session", data={"token": "a long one"}, follow_redirects=False)
        assert answer.headers["location"] == "./"
        assert client.post("/session/end", follow_redirects=False).headers["location"] == "../"


@given(st.integers(-11, 13), st.integers(0, 23))
def test_a_day_is_that_of_the_asking_place(hours: int, at: int) -> None:
    since = datetime(2026, 11, 26, (24 - hours) % 24, tzinfo=UTC)
    zone = zone_of(None, since)
    assert since.astimezone(zone).time().isoformat() == "00:00:00"
    named = zone_of("Asia/Tokyo", since)
    row = (datetime(2026, 11, 26, at, 30, tzinfo=UTC), "nut", "sum", "PASS", 1.0)
    (day,) = per_day([row], named)
    assert day.day == datetime(2026, 11, 26 + (at + 9) // 24).date()
    with pytest.raises(ValueError, match="Mars"):
        zone_of("Mars/Base", since)


SEARCHES = {
    "GRÖSSE.png": "größe",
    "Größe 2.png": "grosse 2",
    "Деталь.png": "ДЕТАЛЬ",
    "ΑΞΟΝΑΣ.png": "άξονας",
    "cafe\u0301.png": "CAFÉ",
    "a_b.png": "A_B",
}


def test_search_folds_case_and_accents(console_models: Path, tmp_path: Path, good_photos: list[Path]) -> None:
    with console(console_models, tmp_path) as client:
        for name in SEARCHES:
            send(client, good_photos[0], name=name)
        for name, searched in SEARCHES.items():
            found = client.get("/inspections", params={"text": searched}).json()["inspections"]
            assert name in [one["file_name"] for one in found]
    assert folded(None) is None


def test_models_without_an_ending_are_served_and_clashes_told(console_models: Path, tmp_path: Path) -> None:
    (model, *_) = sorted(console_models.rglob("*.pkl"))
    for name in ("nut", "nut.pkl", "deep/v1.2"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(model, tmp_path / name)
    (tmp_path / "notes.txt").write_text("no model")
    catalogue = Catalogue(tmp_path, device="cpu", run=None, memory_mb=1, saved_threshold=lambda *_: None)  # type: ignore[arg-type]
    assert catalogue.categories() == {"nut": tmp_path / "nut.pkl", "deep/v1.2": tmp_path / "deep/v1.2"}
    (line,) = catalogue.clashes()
    assert "nut.pkl" in line
    assert "would all be called nut" in line


def test_as_many_files_as_the_queue_holds(console_models: Path, tmp_path: Path) -> None:
    with console(console_models, tmp_path, queue_size=1100) as client:
        files = [("images", (f"{i}.png", b"no image", "image/png")) for i in range(1001)]
        answer = client.post("/inspect/batch", data={"category": "nut"}, files=files)
        assert answer.status_code == 200
        assert len(answer.json()["results"]) == 1001
