"""Thresholds, history, exports and the shift report on the page."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

from data_factory import part, save
from page_factory import IN_CHROMIUM, Serve, Watched, choose
from playwright.sync_api import expect

from fastener.datasets.csv_splits import load_split

pytest_plugins = "page_factory"
pytestmark = IN_CHROMIUM


def test_a_threshold_is_tried_out_and_saved_only_with_a_reason(
    watch: Callable[[str], Watched], serve: Serve, console_models: Path, tmp_path: Path
) -> None:
    address = serve(console_models, tmp_path)
    page = watch(address).page
    bent = save(part(200, "bend"), tmp_path / "bent.png")
    choose(page, [bent])
    page.get_by_role("button", name="Decision is right").click()
    page.get_by_label("Your name").first.fill("Ann")
    page.locator("#dialog-review button[value=save]").click()
    expect(page.locator(".review-card")).to_contain_text("Confirmed by Ann")
    page.get_by_text("Try another threshold").click()
    slider = page.get_by_label("Threshold", exact=True)
    slider.evaluate("slider => { slider.value = slider.min; slider.dispatchEvent(new Event('input')); }")
    expect(page.locator(".trial")).to_contain_text("Flags at most 100 % of healthy parts like the 12")
    number = page.get_by_label("Threshold as a number")
    number.fill("1e6")
    expect(page.locator(".trial")).to_contain_text("Only thresholds from 0.00 to ")
    expect(page.get_by_role("button", name="Save this threshold")).to_be_disabled()
    number.fill("33")
    expect(page.locator(".trial")).to_contain_text("Flags at most 7.7 % of healthy parts")
    expect(page.locator(".trial")).not_to_contain_text("Only thresholds")
    expect(page.locator(".effect")).to_contain_text("Of the last 1 inspections, 1 would change from FAIL to PASS")
    expect(page.locator(".effect .problem")).to_contain_text("Of 1 parts that people called FAIL, 1 would pass")
    expect(page.locator(".banner .decision")).to_have_text("PASS")
    expect(page.locator(".banner")).to_contain_text("the recorded decision is FAIL")
    page.get_by_role("button", name="Save this threshold").click()
    dialog = page.locator("#dialog-threshold")
    dialog.get_by_label("Your name").fill("Ann")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_visible()  # a reason is missing
    dialog.get_by_label("Reason").fill("another lamp")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    page.get_by_text("Try another threshold").click()
    expect(page.locator(".trial .log")).to_contain_text("by Ann: another lamp")
    choose(page, [bent])
    expect(page.locator("#queue li").nth(1).locator(".badge")).to_have_text("PASS")


def test_history_is_searched_reviewed_and_exported(
    watch: Callable[[str], Watched], serve: Serve, console_models: Path, tmp_path: Path, photos: list[Path]
) -> None:
    address = serve(console_models, tmp_path)
    page = watch(address).page
    choose(page, photos)
    page.get_by_role("link", name="History").click()
    expect(page.locator("#rows tr")).to_have_count(6)
    page.locator("#filters [name=decision]").select_option("FAIL")
    expect(page.locator("#rows .badge.pass")).to_have_count(0)
    page.locator("#filters [name=decision]").select_option("")
    page.locator("#rows tr").nth(5).wait_for()
    page.get_by_role("button", name="File", exact=True).click()
    expect(page.locator("th[aria-sort=ascending]")).to_have_text("File")
    names = [path.name for path in photos]
    expect(page.locator("#rows td.name a")).to_have_text(names)
    page.get_by_role("link", name=names[0]).click()
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#stored-result .banner")).to_contain_text(names[1])
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#stored-result .banner")).to_contain_text(names[0])
    page.get_by_role("link", name="History", exact=True).click()
    page.get_by_label("File name").fill("p05")
    expect(page.locator("#rows tr")).to_have_count(1)
    page.get_by_role("link", name="p05.png").click()
    expect(page.locator(".banner .decision:visible")).to_have_text("FAIL")
    page.get_by_role("button", name="Decision is wrong").locator("visible=true").click()
    dialog = page.locator("#dialog-review")
    dialog.get_by_label("Your name").fill("Bob")
    dialog.get_by_label("Note").fill("a shadow, <b>no rust</b>")
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator(".review-card:visible")).to_contain_text("Overruled, should be PASS, by Bob")
    expect(page.locator(".review-card:visible")).to_contain_text("<b>no rust</b>")
    page.get_by_role("link", name="History", exact=True).click()
    page.locator("#filters [name=reviewed]").select_option("overruled")
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(page.locator("#rows .overruled s")).to_have_text("FAIL")
    expect(page.locator("#rows .overruled .badge")).to_have_text("PASS")
    page.get_by_role("button", name="Export wrong decisions").click()
    with page.expect_download() as download:
        page.locator("#dialog-export").get_by_role("button", name="Download").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        archive.extractall(tmp_path / "labelled")
    assert [image.is_anomalous for image in load_split(tmp_path / "labelled", "train").images] == [False]
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    assert download.value.path().read_text().count("\n") == 2
    page.get_by_role("link", name="Statistics").click()
    expect(page.locator("#charts .bar")).to_have_count(1)
    expect(page.locator("#charts")).to_contain_text("at calibration")


def test_a_shift_report_is_black_on_white_and_knows_the_lot(
    watch: Callable[[str], Watched], address: str, photos: list[Path]
) -> None:
    page = watch(address).page
    page.emulate_media(color_scheme="dark")
    page.locator("#origin summary").click()
    page.locator("#lot").fill("L 7")
    page.locator("#serial").fill("S-1")
    choose(page, photos[4:5])
    expect(page.locator(".banner .where")).to_have_text("Lot L 7 · Serial number S-1")
    expect(page.locator("#serial")).to_have_value("")  # for one drop
    expect(page.locator("#lot")).to_have_value("L 7")
    page.get_by_role("link", name="History").click()
    page.locator("#filters summary").click()
    page.locator("#filters [name=lot]").fill("l 7")
    expect(page.locator("#rows tr")).to_have_count(1)
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Shift report").click()
    report = opened.value
    expect(report.locator(".summary")).to_have_text("Inspections: 1 (1 FAIL)")
    expect(report.locator("li")).to_contain_text("Lot L 7, Serial number S-1")
    assert report.locator("li img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    report.emulate_media(media="print", color_scheme="dark")
    colours = report.locator("body").evaluate("one => [getComputedStyle(one).color, getComputedStyle(one).background]")
    assert colours[0] == "rgb(0, 0, 0)"
    assert colours[1].startswith("rgb(255, 255, 255)")
    expect(report.locator(".tools")).to_be_hidden()
