"""The console's page in a real Chromium, for tests that drive it as a person would.

A module of tests takes these fixtures by ``pytest_plugins = "page_factory"``.
"""

from __future__ import annotations

import shutil
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn
from console_factory import service_in
from data_factory import part, parts, write_photos
from playwright.sync_api import Browser, Page, expect, sync_playwright

from fastener.console.app import create_app

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
IN_CHROMIUM = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt install chromium)"),
]
expect.set_options(timeout=15_000)
Serve = Callable[..., str]


@contextmanager
def served(models: Path, folder: Path, **more: object) -> Iterator[str]:
    """A console behind a real server in a thread of this process; yields its address."""
    app = create_app(service_in(models, folder, **more))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *camera])
        yield chromium
        chromium.close()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a console as ``served`` does. It outlives the pages of ``watch``, which would else miss it."""
    with ExitStack() as stack:
        yield lambda *arguments, **more: stack.enter_context(served(*arguments, **more))


@pytest.fixture
def watch(browser: Browser, serve: Serve) -> Iterator[Callable[[str], Watched]]:
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


@pytest.fixture(scope="session")
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
