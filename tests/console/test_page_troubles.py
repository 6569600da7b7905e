"""Files, models and services that fail while the page is open."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from page_factory import IN_CHROMIUM, Serve, Watched, drop
from playwright.sync_api import expect

pytest_plugins = "page_factory"
pytestmark = IN_CHROMIUM
EVIL = "<img src=x onerror=alert(1)>.png"


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
    watch: Callable[[str], Watched], serve: Serve, console_models: Path, tmp_path: Path, photos: list[Path]
) -> None:
    (tmp_path / "note.png").write_text("not an image")
    (tmp_path / "large.png").write_bytes(b"x" * 2**20)
    address = serve(console_models, tmp_path, max_upload_mb=0.5)
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
    card = page.locator("#queue li.failed").first
    assert card.evaluate("one => getComputedStyle(one).borderTopWidth") == "1px"  # its buttons stand inside
    page.locator("#queue li.failed").first.get_by_role("button", name="Retry").click()
    expect(page.locator("#queue li.done")).to_have_count(3)
    page.get_by_role("button", name="Remove").click()
    expect(page.locator("#queue li")).to_have_count(3)
    watched.problems.clear()  # the two 500


def test_no_model_yet_says_what_to_type_and_notices_the_first(
    watch: Callable[[str], Watched], serve: Serve, console_models: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    address = serve(models, tmp_path)
    page = watch(address).page
    expect(page.locator("#inspect-result")).to_contain_text("python train.py --images")
    expect(page.get_by_role("button", name="Choose images")).to_be_disabled()
    shutil.copy(console_models / "nut.pkl", models / "nut.pkl")
    expect(page.locator("#model-state")).to_contain_text("Ready", timeout=15_000)


def test_a_model_that_takes_long_to_load_and_a_service_that_goes_away(
    watch: Callable[[str], Watched], serve: Serve, console_models: Path, tmp_path: Path, photos: list[Path]
) -> None:
    address = serve(console_models, tmp_path)
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
    watch: Callable[[str], Watched], serve: Serve, console_models: Path, tmp_path: Path, photos: list[Path]
) -> None:
    address = serve(console_models, tmp_path, token="open sesame")
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
    dialog.get_by_label("Token").fill("wrong")
    dialog.get_by_role("button", name="Sign in").click()
    expect(dialog.get_by_role("alert")).to_have_text("That is not right.")
    dialog.get_by_label("Token").fill("open sesame")
    dialog.get_by_role("button", name="Sign in").click()
    page.locator("#queue li.done").nth(1).wait_for()
    expect(dialog).to_be_hidden()
    watched.problems.clear()  # the 401
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    watched.problems.clear()
