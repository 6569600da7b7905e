"""The page, driven in a real Chromium as a person would."""

from __future__ import annotations

import shutil
import socket
import threading
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from console_factory import service_in
from data_factory import part, parts, save, write_photos
from playwright.sync_api import Browser, Page, expect, sync_playwright

from fastener.console.app import create_app
from fastener.datasets.csv_splits import load_split

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt install chromium)"),
]
expect.set_options(timeout=15_000)
ColorScheme = Literal["light", "dark"]
EVIL = "<img src=x onerror=alert(1)>.png"


@contextmanager
def served(models: Path, folder: Path, **more: object) -> Iterator[str]:
    """A console behind a real server in a thread of this process; yields its address."""
    app = create_app(service_in(models, folder, **more))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@dataclass
class Watched:
    """A page, and what it did that nobody should see."""

    page: Page
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *camera])
        yield chromium
        chromium.close()


@pytest.fixture
def watch(browser: Browser) -> Iterator[Callable[[str], Watched]]:
    """Open an address on a tablet; afterwards nothing may have failed, popped up or left this machine."""
    opened: list[Watched] = []

    def open_page(address: str) -> Watched:
        page = browser.new_context(viewport={"width": 1024, "height": 768}).new_page()
        watched = Watched(page)
        page.on("console", lambda line: watched.problems.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: watched.problems.append(str(error)))
        page.on("dialog", lambda dialog: watched.problems.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: watched.requests.append(request.url))
        page.set_default_timeout(15_000)
        opened.append(watched)
        page.goto(address)
        return watched

    yield open_page
    for watched in opened:
        watched.page.context.close()
        assert watched.problems == []
        assert all(url.startswith(("http://127.0.0.1:", "data:", "blob:")) for url in watched.requests)


@pytest.fixture(scope="module")
def address(console_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(console_models, tmp_path_factory.mktemp("page")) as found:
        yield found


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    return write_photos(folder, [*parts(4, 100), part(200, "rust"), part(201, "rust")])


def choose(page: Page, files: list[Path]) -> None:
    """By the picker, and wait until they are inspected."""
    page.locator("#category option", has_text="nut").wait_for(state="attached")
    before = page.locator("#queue li.done").count()
    page.set_input_files("#files", files)
    page.locator("#queue li.done").nth(before + len(files) - 1).wait_for()


def drop(page: Page, name: str, content: bytes, kind: str = "drop") -> None:
    """Let a file fall on the page, or paste it."""
    transfer = page.evaluate_handle(
        """([name, data]) => {
          const transfer = new DataTransfer();
          const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
          transfer.items.add(new File([bytes], name, { type: "image/png" }));
          return transfer;
        }""",
        [name, b64encode(content).decode()],
    )
    if kind == "paste":
        page.evaluate("t => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: t }))", transfer)
    else:
        page.dispatch_event("#drop", kind, {"dataTransfer": transfer})


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
    watch: Callable[[str], Watched], address: str, photos: list[Path]
) -> None:
    page = watch(address).page
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
    page.keyboard.press("Escape")
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


def test_a_threshold_is_tried_out_and_saved_only_with_a_reason(
    watch: Callable[[str], Watched], console_models: Path, tmp_path: Path, photos: list[Path]
) -> None:
    with served(console_models, tmp_path) as address:
        page = watch(address).page
        choose(page, photos[4:5])
        page.get_by_role("button", name="Decision is right").click()
        page.get_by_label("Your name").first.fill("Ann")
        page.locator("#dialog-review button[value=save]").click()
        expect(page.locator(".review-card")).to_contain_text("Confirmed by Ann")
        page.get_by_text("Try another threshold").click()
        slider = page.get_by_label("Threshold", exact=True)
        slider.evaluate("slider => { slider.value = slider.min; slider.dispatchEvent(new Event('input')); }")
        expect(page.locator(".trial")).to_contain_text("Flags at most 100 % of healthy parts like the 12")
        page.get_by_label("Threshold as a number").fill("1e6")
        expect(page.locator(".trial")).to_contain_text("Flags at most 7.7 % of healthy parts")
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
        choose(page, photos[5:6])
        expect(page.locator("#queue li").nth(1).locator(".badge")).to_have_text("PASS")


def test_history_is_searched_reviewed_and_exported(
    watch: Callable[[str], Watched], console_models: Path, tmp_path: Path, photos: list[Path]
) -> None:
    with served(console_models, tmp_path) as address:
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
    expect(report.locator(".summary")).to_have_text("1 inspections: 1 FAIL")
    expect(report.locator("li")).to_contain_text("Lot L 7, Serial number S-1")
    assert report.locator("li img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    report.emulate_media(media="print", color_scheme="dark")
    colours = report.locator("body").evaluate("one => [getComputedStyle(one).color, getComputedStyle(one).background]")
    assert colours[0] == "rgb(0, 0, 0)"
    assert colours[1].startswith("rgb(255, 255, 255)")
    expect(report.locator(".tools")).to_be_hidden()


def test_a_name_full_of_markup_does_nothing(watch: Callable[[str], Watched], address: str, photos: list[Path]) -> None:
    watched = watch(address)
    page = watched.page
    page.locator("#category option", has_text="nut").wait_for(state="attached")
    drop(page, EVIL, photos[0].read_bytes())
    page.locator("#queue li.done").wait_for()
    expect(page.locator("#queue .name")).to_have_text(EVIL)
    page.goto(f"{address}/#history")
    page.get_by_role("link", name=EVIL).first.click()
    page.locator("#stored-result").get_by_text("Details").click()
    expect(page.locator("#stored-result .facts")).to_contain_text(EVIL)
    page.wait_for_timeout(200)
    assert page.locator("img[src='x']").count() == 0
    assert not any(url.endswith("/x") for url in watched.requests)


def test_files_that_cannot_be_judged_say_why(
    watch: Callable[[str], Watched], console_models: Path, tmp_path: Path, photos: list[Path]
) -> None:
    (tmp_path / "note.png").write_text("not an image")
    (tmp_path / "large.png").write_bytes(b"x" * 2**20)
    with served(console_models, tmp_path, max_upload_mb=0.5) as address:
        watched = watch(address)
        page = watched.page
        page.locator("#category option", has_text="nut").wait_for(state="attached")
        page.set_input_files("#files", [tmp_path / "note.png", tmp_path / "large.png", photos[0]])
        page.locator("#queue li.done").wait_for()
        expect(page.locator("#queue li.failed")).to_have_count(2)
        expect(page.locator("#queue li", has_text="note.png")).to_contain_text("not an image")
        expect(page.locator("#queue li", has_text="large.png")).to_contain_text("0.5 MiB")
        expect(page.locator("#queue-count")).to_contain_text("2 not inspected")
        # The browser itself writes down what the service refused.
        assert all("status of 41" in line for line in watched.problems)
        watched.problems.clear()


def test_no_model_yet_says_what_to_type_and_notices_the_first(
    watch: Callable[[str], Watched], console_models: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    with served(models, tmp_path) as address:
        page = watch(address).page
        expect(page.locator("#inspect-result")).to_contain_text("python train.py --images")
        expect(page.get_by_role("button", name="Choose images")).to_be_disabled()
        shutil.copy(console_models / "nut.pkl", models / "nut.pkl")
        expect(page.locator("#model-state")).to_contain_text("Ready", timeout=15_000)


def test_a_model_that_takes_long_to_load_and_a_service_that_goes_away(
    watch: Callable[[str], Watched], console_models: Path, tmp_path: Path, photos: list[Path]
) -> None:
    with served(console_models, tmp_path) as address:
        watched = watch("about:blank")
        page = watched.page
        page.route("**/model/info/**", lambda route: None)  # held until it is unrouted
        page.goto(address)
        expect(page.locator("#model-state")).to_contain_text("Loading the model")
        page.unroute("**/model/info/**")
        expect(page.locator("#model-state")).to_contain_text("Ready")
        page.context.set_offline(True)
        page.set_input_files("#files", photos[:1])
        expect(page.locator("#gone")).to_be_visible()
        expect(page.locator("#queue li")).to_contain_text("waiting")
        page.context.set_offline(False)
        page.locator("#queue li.done").wait_for()
        expect(page.locator("#gone")).to_be_hidden()
        watched.problems.clear()  # the browser writes down every request that failed


def test_the_queue_outlives_the_end_of_a_session(
    watch: Callable[[str], Watched], console_models: Path, tmp_path: Path, photos: list[Path]
) -> None:
    with served(console_models, tmp_path, token="open sesame") as address:
        watched = watch(address)
        page = watched.page
        page.get_by_label("Token").fill("open sesame")
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("#model-state")).to_contain_text("Ready")
        page.context.clear_cookies()
        page.set_input_files("#files", photos[:2])
        dialog = page.locator("#dialog-sign-in")
        expect(dialog).to_be_visible()
        expect(page.locator("#queue li.waiting")).to_have_count(2)
        dialog.get_by_label("Password or token").fill("wrong")
        dialog.get_by_role("button", name="Sign in").click()
        expect(dialog.get_by_role("alert")).to_have_text("That is not right.")
        dialog.get_by_label("Password or token").fill("open sesame")
        dialog.get_by_role("button", name="Sign in").click()
        page.locator("#queue li.done").nth(1).wait_for()
        expect(dialog).to_be_hidden()
        watched.problems.clear()  # the 401
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Token")).to_be_visible()
        watched.problems.clear()


def test_sign_in_and_colours(watch: Callable[[str], Watched], console_models: Path, tmp_path: Path) -> None:
    with served(console_models, tmp_path, token="open sesame") as address:
        watched = watch(address)
        page = watched.page
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_have_text("That is not the token.")
        page.get_by_label("Token").fill("open sesame")
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("#model-state")).to_contain_text("Ready")
        watched.problems.clear()  # the two 401
        grounds = set()
        for text in ("Theme: system", "Theme: light", "Theme: dark"):
            expect(page.locator("#theme")).to_have_text(text)
            grounds.add(page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor"))
            page.locator("#theme").click()
        assert len(grounds) == 2
        page.get_by_role("link", name="API").click()
        expect(page.locator("#docs")).to_contain_text("POST /inspect/batch")


def test_pages_are_accessible_on_every_screen(browser: Browser, address: str, photos: list[Path]) -> None:
    context = browser.new_context(locale="de-DE")
    page, problems = context.new_page(), []
    page.on("console", lambda line: problems.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(address)
    expect(page.locator("#choose")).to_have_text("Bilder wählen")
    choose(page, photos[3:5])
    page.locator(".banner.fail").wait_for()
    page.locator(".trial summary").click()
    page.locator(".effect p").first.wait_for()
    screens: list[tuple[int, int, ColorScheme]] = [(1440, 900, "light"), (1024, 768, "dark"), (390, 844, "light")]
    for width, height, theme in screens:
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=theme)
        for view in ("inspect", "history", "statistics"):
            page.goto(f"{address}/#{view}")
            page.locator({"inspect": ".banner", "history": "#rows img", "statistics": ".bar"}[view]).first.wait_for()
            check(page, f"{view} {width}")
            rows = page.locator("#rows tr").evaluate_all("rows => rows.map((row) => row.offsetHeight)")
            assert width < 400 or max(rows, default=0) < 60
    page.goto(f"{address}/#inspect")
    page.locator("#station").click()
    check(page, "station")
    assert problems == []
    context.close()


def check(page: Page, view: str) -> None:
    """No violation that axe-core knows, nothing wider than the screen, and no text under 12 px."""
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    assert found.violations_count == 0, f"{view}: {found.generate_report()}"
    assert page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth") <= 0, view
    small = page.evaluate(
        """() => [...document.querySelectorAll("body *")].filter((one) => one.checkVisibility()
          && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim())
          && parseFloat(getComputedStyle(one).fontSize) < 12).map((one) => one.outerHTML)"""
    )
    assert small == [], view


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


def test_folders_are_walked_and_what_failed_is_tried_again(
    watch: Callable[[str], Watched], address: str, photos: list[Path], tmp_path: Path
) -> None:
    watched = watch(address)
    page = watched.page
    expect(page.locator("#model-state")).to_contain_text("Ready")
    (tmp_path / "deep").mkdir()
    shutil.copy(photos[0], tmp_path / "deep" / "a.png")
    shutil.copy(photos[1], tmp_path / "b.png")
    (tmp_path / "notes.txt").write_text("no image")
    page.set_input_files("#folder", tmp_path)
    page.locator("#queue li.done").nth(1).wait_for()
    expect(page.locator("#queue li")).to_have_count(2)
    page.route("**/inspect", lambda route: route.fulfill(status=500, json={"detail": "a fault"}))
    page.set_input_files("#files", photos[2:4])
    expect(page.locator("#queue li.failed")).to_have_count(2)
    page.unroute("**/inspect")
    page.locator("#queue li.failed").first.get_by_role("button", name="Retry").click()
    expect(page.locator("#queue li.done")).to_have_count(3)
    page.get_by_role("button", name="Remove").click()
    expect(page.locator("#queue li")).to_have_count(3)
    watched.problems.clear()  # the two 500


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
