"""Photos on the page: from the picker to the verdict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_factory import save
from page_factory import IN_CHROMIUM, Watched, choose, drop
from playwright.sync_api import expect

pytest_plugins = "page_factory"
pytestmark = IN_CHROMIUM


def test_many_files_by_the_picker_drop_and_paste(
    watch: Callable[[str], Watched], address: str, photos: list[Path]
) -> None:
    page = watch(address).page
    choose(page, photos)
    drop(page, "dropped.png", photos[4].read_bytes())
    drop(page, "pasted.png", photos[0].read_bytes(), "paste")
    page.locator("#queue li.done").nth(7).wait_for()
    expect(page.locator("#queue-count")).to_contain_text("8 of 8")
    expect(page.locator("#queue li", has_text="dropped.png").locator(".badge")).to_have_text("FAIL")
    expect(page.locator("#queue-progress")).to_be_hidden()
    page.locator("#queue button").first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#queue button").nth(1)).to_have_attribute("aria-current", "true")
    page.get_by_role("button", name="Clear list").click()
    expect(page.locator("#queue li")).to_have_count(0)


def test_the_banner_follows_the_newest_and_a_fail_takes_over(
    watch: Callable[[str], Watched], address: str, photos: list[Path], tmp_path: Path
) -> None:
    watched = watch(address)
    page = watched.page
    banner = page.locator(".banner")
    choose(page, photos[:1])
    expect(banner).to_contain_text(photos[0].name)
    choose(page, photos[2:3])
    expect(banner).to_contain_text(photos[2].name)
    page.locator("#queue button").first.click()
    expect(banner).to_contain_text(photos[0].name)
    choose(page, photos[3:4])
    expect(banner).to_contain_text(photos[0].name)  # pinned
    choose(page, [photos[4], photos[0], photos[2]])
    expect(banner).to_contain_text(photos[4].name)  # a FAIL, which the PASSes of its drop do not hide
    expect(banner.locator(".decision")).to_have_text("FAIL")
    page.get_by_role("button", name="Follow the newest").click()
    choose(page, photos[3:4])
    expect(banner).to_contain_text(photos[3].name)
    expect(page.locator("#queue button").last).to_be_in_viewport()
    (tmp_path / "note.png").write_text("not an image")
    page.get_by_role("button", name="Clear list").click()
    page.set_input_files("#files", [photos[4], *photos[:4], *photos[:2], tmp_path / "note.png", *photos[:4]])
    page.locator("#queue li.done").nth(10).wait_for()
    expect(page.locator("#queue li.failed")).to_have_count(1)
    expect(banner).to_contain_text(photos[4].name)  # neither a PASS nor an unreadable file hides a FAIL
    watched.problems.clear()  # the 415


def test_the_station_view_fills_the_screen_and_is_reviewed_by_keys(
    watch: Callable[[str], Watched], address: str, photos: list[Path]
) -> None:
    page = watch(address).page
    choose(page, photos[:1])
    page.get_by_role("button", name="Station view").click()
    banner = page.locator(".banner")
    size, window = banner.bounding_box(), page.viewport_size
    assert size is not None
    assert window is not None
    assert (size["width"], size["height"]) >= (window["width"] * 0.99, window["height"] * 0.99)
    expect(page.locator(".side")).to_be_hidden()
    letters = page.locator(".banner .decision").evaluate("one => parseFloat(getComputedStyle(one).fontSize)")
    assert letters > 0.15 * window["width"]
    drop(page, "late.png", photos[4].read_bytes())
    expect(page.locator(".banner .decision")).to_have_text("FAIL")
    page.keyboard.press("o")
    expect(page.locator("#dialog-review")).to_contain_text("it should be PASS")
    # By its button: the browser also takes Escape for leaving the full screen, sooner or later.
    page.locator("#dialog-review").get_by_role("button", name="Cancel").click()
    expect(page.locator("#dialog-review")).to_be_hidden()
    page.keyboard.press("p")
    expect(page.locator(".banner .decision")).to_have_text("PASS")
    page.get_by_role("button", name="Leave").click()
    expect(page.locator(".side")).to_be_visible()


def test_the_result_shows_banner_scale_heatmap_boxes_and_zoom(
    watch: Callable[[str], Watched], address: str, photos: list[Path]
) -> None:
    page = watch(address).page
    choose(page, photos[4:5])
    expect(page.locator(".banner .decision")).to_have_text("FAIL")
    expect(page.locator(".scale")).to_contain_text("Scores above all 12 healthy parts")
    heat = page.locator(".stage.over .heat")
    assert heat.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    before = page.locator(".pane").screenshot()
    page.get_by_label("Heatmap", exact=True).fill("0")
    expect(heat).to_have_css("opacity", "0")
    assert page.locator(".pane").screenshot() != before
    expect(page.locator(".boxes rect.box").first).to_be_visible()
    page.get_by_label("Boxes").uncheck()
    expect(page.locator(".boxes").first).to_be_hidden()
    width = page.locator(".stage").bounding_box()
    page.get_by_role("button", name="Zoom in").click()
    zoomed = page.locator(".stage").bounding_box()
    assert width is not None
    assert zoomed is not None
    assert zoomed["width"] == pytest.approx(1.5 * width["width"], rel=0.02)
    page.get_by_role("button", name="Side by side").click()
    expect(page.locator(".pane")).to_have_count(2)
    page.locator(".pane").first.press("0")
    for mode in ("Photo", "Heatmap", "Overlay"):
        page.get_by_role("button", name=mode, exact=True).click()
        expect(page.locator(".pane")).to_have_count(1)


def test_the_camera(watch: Callable[[str], Watched], address: str) -> None:
    page = watch(address).page
    expect(page.locator("#model-state")).to_contain_text("Ready")
    page.get_by_role("button", name="Camera").click()
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Take photo").click()
    page.locator("#queue li.done").wait_for()
    expect(page.locator("#queue .name")).to_contain_text("camera-")
    page.get_by_role("button", name="Station view").click()
    verdict, video = page.locator(".banner").bounding_box(), page.locator("#video").bounding_box()
    assert verdict is not None
    assert video is not None
    assert verdict["x"] + verdict["width"] <= video["x"] + 1  # beside each other
    page.keyboard.press("Space")
    page.locator("#queue li.done").nth(1).wait_for(state="attached")
    page.evaluate(  # as fast as a scanner: no key of the station
        """keys => keys.forEach((key) =>
          document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })))""",
        [*"COP-123", "Enter"],
    )
    page.locator("#queue li.done").nth(2).wait_for(state="attached")
    expect(page.locator("#dialog-review")).to_be_hidden()
    expect(page.locator(".banner .where")).to_contain_text("Serial number COP-123")


def test_an_empty_frame_asks_for_another_photo(watch: Callable[[str], Watched], address: str, tmp_path: Path) -> None:
    page = watch(address).page
    choose(page, [save(np.full((96, 96, 3), 128, np.uint8), tmp_path / "empty.png")])
    page.locator("#queue li.done button").last.click()
    expect(page.locator(".banner .decision")).to_have_text("NO PART")
    expect(page.locator(".banner")).to_contain_text("Retake the photo: ")
    expect(page.locator(".banner")).not_to_contain_text("confidence")
    expect(page.locator("#queue-count")).to_contain_text("0 PASS, 0 FAIL, 1 NO PART")
    page.locator(".basis summary").click()
    expect(page.locator(".basis")).to_contain_text("synthetic defects found")
    page.get_by_role("button", name="It should be PASS…").wait_for()
    page.get_by_role("button", name="Decision is right").click()
    page.get_by_label("Your name").first.fill("Ann")
    page.locator("#dialog-review button[value=save]").click()
    expect(page.locator(".review-card")).to_contain_text("Confirmed by Ann")
    page.goto(f"{address}/#history")
    page.locator("#filters [name=decision]").select_option("NO_PART")
    expect(page.locator("#rows tr").first.locator(".badge")).to_have_text("NO PART")
    expect(page.locator("#rows tr").first).to_contain_text("confirmed by Ann")
