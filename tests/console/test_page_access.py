"""The page for everybody: any screen, any theme, no violation that axe knows, nothing on the browser's console."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from data_factory import save
from page_factory import IN_CHROMIUM, Serve, Watched, choose
from playwright.sync_api import Browser, Page, Route, expect

from fastener.console.language import Language, Words
from fastener.inspection.input_check import NO_PART

pytest_plugins = "page_factory"
pytestmark = IN_CHROMIUM
ColorScheme = Literal["light", "dark"]
SCREENS: list[tuple[int, int, ColorScheme]] = [
    (1440, 900, "light"),
    (1440, 900, "dark"),
    (1024, 768, "light"),
    (1024, 768, "dark"),
    (390, 844, "light"),
    (390, 844, "dark"),
]


@pytest.fixture
def german(browser: Browser) -> Iterator[Page]:
    """A page in German, whose words are longer than the English ones; nothing may appear on the console."""
    context = browser.new_context(locale="de-DE")
    problems: list[str] = []
    page = context.new_page()
    page.on("console", lambda line: problems.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    context.close()
    assert problems == []


def check(page: Page, view: str) -> None:
    """No violation that axe-core knows, nothing wider than the screen, and no text under 12 px."""
    if "SHOTS" in os.environ:
        page.screenshot(path=Path(os.environ["SHOTS"]) / f"{view.replace(' ', '_')}.png", full_page=True)
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    assert found.violations_count == 0, f"{view}: {found.generate_report()}"
    assert page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth") <= 0, view
    small = page.evaluate(
        """() => [...document.querySelectorAll("body *")].filter((one) => one.checkVisibility()
          && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim())
          && parseFloat(getComputedStyle(one).fontSize) * (one.getScreenCTM?.().a ?? 1) < 11.9)
          .map((one) => one.outerHTML)"""
    )
    assert small == [], view


def on(page: Page, screen: tuple[int, int, ColorScheme]) -> str:
    """Take another screen and theme; return their name."""
    width, height, theme = screen
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=theme)
    return f"{width} {theme}"


def test_views_on_every_screen(german: Page, address: str, photos: list[Path], tmp_path: Path) -> None:
    page = german
    page.goto(address)
    expect(page.locator("#choose")).to_have_text("Bilder wählen")
    long = tmp_path / "line3_camera_left_2026-11-29_front_side_view_of_the_very_long_named_part_000123456.png"
    shutil.copy(photos[3], long)
    choose(page, [long, photos[4]])
    page.locator(".banner.fail").wait_for()
    page.locator(".trial summary").click()
    page.locator(".effect p").first.wait_for()
    for screen in SCREENS:
        name = on(page, screen)
        for view in ("inspect", "history", "statistics"):
            page.goto(f"{address}/#{view}")
            page.locator({"inspect": ".banner", "history": "#rows img", "statistics": ".bar"}[view]).first.wait_for()
            check(page, f"{view} {name}")
            rows = page.locator("#rows tr").evaluate_all("rows => rows.map((row) => row.offsetHeight)")
            assert screen[0] < 400 or max(rows, default=0) < 60
            if view == "history":
                assert cut_off(page) == []
        page.goto(f"{address}/#inspect")
        page.locator("#station").click()
        check(page, f"station {name}")
        page.keyboard.press("Escape")
    swatch, meaning = (page.locator(one).bounding_box() for one in (".unseen", ".unseen + span"))
    assert swatch is not None
    assert meaning is not None
    assert meaning["y"] <= swatch["y"] <= meaning["y"] + meaning["height"]  # on the phone, too
    page.goto(f"{address}/#history")
    page.set_viewport_size({"width": 768, "height": 1024})
    assert cut_off(page) == []
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.locator("#rows a").first).to_have_css("color", "rgb(0, 0, 0)")


def cut_off(page: Page) -> list[str]:
    """Decisions that are not on the screen, and names of files that are shortened in two ways."""
    page.locator("#rows .badge").first.wait_for()
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("#rows .badge, #rows .file .clamp")]
          .filter((one) => one.getBoundingClientRect().right > (one.className === "clamp" ? Infinity : innerWidth)
            || one.scrollHeight > one.clientHeight + 1).map((one) => one.textContent)"""
    )
    return found


def as_review(route: Route) -> None:
    """Answer as a model that was trained with ``calibration.look_band``."""
    response = route.fetch()
    route.fulfill(response=response, json=response.json() | {"decision": "REVIEW"})


def test_the_station_view_in_every_state(browser: Browser, address: str, photos: list[Path], tmp_path: Path) -> None:
    context = browser.new_context(viewport={"width": 1024, "height": 768}, locale="de-DE")
    page = context.new_page()
    page.goto(address)
    expect(page.locator("#model-state")).to_have_text("Bereit")
    (tmp_path / "note.png").write_text("not an image")
    empty = save(np.full((96, 96, 3), 128, np.uint8), tmp_path / "empty.png")

    def look(state: str, shown: str) -> None:
        page.locator("#station").click()
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            check(page, f"station {state} {theme}")
            box = page.locator(shown).bounding_box()
            assert box is not None
            assert box["width"] == 1024
        page.keyboard.press("Escape")

    look("empty", ".message")
    page.set_input_files("#files", tmp_path / "note.png")
    expect(page.locator(".message")).to_contain_text("note.png wurde nicht geprüft")
    look("unreadable", ".message")
    page.route("**/inspect", as_review)
    choose(page, photos[1:2])
    look("REVIEW", ".banner.review")
    page.unroute("**/inspect")
    for state, file in (("PASS", photos[0]), ("FAIL", photos[4]), ("NO PART", empty)):
        choose(page, [file])
        expect(page.locator(".banner .decision")).to_have_text(state)
        if state != "FAIL":
            look(state, ".banner")
    expect(page.locator(".banner .why")).to_have_text(f"Foto neu aufnehmen: {Words('de')(NO_PART)}")
    page.locator(".review-card button").last.click()
    page.locator("#dialog-review [name=reviewer]").fill("Ann")
    page.locator("#dialog-review [value=save]").click()
    look("overruled", ".banner.struck")
    context.close()


def test_dialogs_on_every_screen(german: Page, address: str, photos: list[Path]) -> None:
    page = german
    page.goto(address)
    choose(page, photos[4:5])
    page.locator(".banner.fail").wait_for()
    opened = {
        "review": page.locator(".review-card button").last,
        "threshold": page.locator(".trial button").first,
        "export": page.locator("#export-wrong"),
    }
    for screen in SCREENS:
        name = on(page, screen)
        for dialog, button in opened.items():
            page.goto(f"{address}/#{'history' if dialog == 'export' else 'inspect'}")
            if dialog == "threshold" and not page.locator(".trial input[type=number]").is_visible():
                page.locator(".trial summary").click()
                page.locator(".trial input[type=number]").fill("20")
            button.click()
            page.locator(f"#dialog-{dialog}[open]").wait_for()
            check(page, f"{dialog} {name}")
            page.keyboard.press("Escape")


def test_the_shift_report_on_every_screen(german: Page, address: str, photos: list[Path]) -> None:
    page = german
    page.goto(address)
    choose(page, [photos[0], photos[4]])
    page.goto(f"{address}/report/shift?lang=de")
    for screen in SCREENS:
        name = on(page, screen)
        check(page, f"report {name}")
        assert page.locator(".scroll").first.evaluate("one => one.scrollWidth <= one.clientWidth"), name


@pytest.mark.parametrize("language", ["en", "de", "ja"])
def test_who_signs_in_reads_their_own_language(
    browser: Browser, serve: Serve, console_models: Path, tmp_path: Path, language: Language
) -> None:
    address, words = serve(console_models, tmp_path, token="open sesame"), Words(language)
    context = browser.new_context(locale=language)
    problems: list[str] = []
    page = context.new_page()
    page.on("console", lambda line: problems.append(line.text))
    page.goto(address)
    for screen in SCREENS[::3] if language == "en" else SCREENS[-1:]:
        check(page, f"sign-in {language} {on(page, screen)}")
    page.get_by_label(words("Token")).fill("wrong")
    page.get_by_role("button", name=words("Sign in")).click()
    expect(page.get_by_role("alert")).to_have_text(words("That is not the token."))
    page.get_by_label(words("Token")).fill("open sesame")
    page.get_by_role("button", name=words("Sign in")).click()
    expect(page.get_by_role("button", name=words("Choose images"))).to_be_visible()
    context.clear_cookies(name="console-" + address.rpartition(":")[2])
    page.reload()
    page.get_by_label(words("Token")).wait_for()
    context.close()
    # The browser itself writes down that a page has the status 401.
    assert [line for line in problems if "status of 401" not in line] == []


def test_the_session_that_ended_asks_on_every_screen(
    watch: Callable[[str], Watched], serve: Serve, console_models: Path, tmp_path: Path
) -> None:
    watched = watch(serve(console_models, tmp_path, token="open sesame"))
    page = watched.page
    page.get_by_label("Token").fill("open sesame")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#model-state")).to_contain_text("Ready")
    page.context.clear_cookies()
    page.evaluate("location.hash = 'history'")
    page.locator("#dialog-sign-in[open]").wait_for()
    for screen in SCREENS[:2] + SCREENS[4:]:
        check(page, f"session {on(page, screen)}")
    watched.problems.clear()  # the 401


def test_themes_and_the_api(watch: Callable[[str], Watched], address: str) -> None:
    page = watch(address).page
    expect(page.locator("#model-state")).to_contain_text("Ready")
    grounds = set()
    for text in ("Theme: system", "Theme: light", "Theme: dark"):
        expect(page.locator("#theme")).to_have_text(text)
        grounds.add(page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor"))
        page.locator("#theme").click()
    assert len(grounds) == 2
    page.get_by_role("link", name="API").click()
    expect(page.locator("#docs")).to_contain_text("POST /inspect/batch")
    for screen in SCREENS[:2]:
        check(page, f"api {on(page, screen)}")
