"""People who sign in by name on the page: what is offered to whom, and the view in which accounts are managed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from argon2 import PasswordHasher
from axe_playwright_python.sync_playwright import Axe
from page_factory import IN_CHROMIUM, Serve, Watched, choose
from playwright.sync_api import Page, expect

from fastener.console.accounts import Accounts, Role
from fastener.console.database import open_database

pytest_plugins = "page_factory"
pytestmark = IN_CHROMIUM


def sign_in(page: Page, name: str, password: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_the_page_offers_what_a_role_may_do_and_admins_manage_accounts(
    watch: Callable[[str], Watched], serve: Serve, console_models: Path, tmp_path: Path, photos: list[Path]
) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/history.db")
    accounts = Accounts(engine)
    accounts._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # the test is not of argon2
    people: dict[str, Role] = {"Olga": "operator", "Adam": "admin"}
    for name, role in people.items():
        accounts.put(name, role, f"secret of {name}")
    address = serve(console_models, tmp_path)
    watched = watch(address)
    page = watched.page
    expect(page.locator("body")).not_to_contain_text("token")
    watched.problems.clear()  # the 401
    sign_in(page, "Olga", "secret of Olga")
    choose(page, photos[4:5])
    page.locator(".trial summary").click()
    expect(page.locator(".trial")).to_contain_text("People of the role QA may save a threshold.")
    expect(page.get_by_role("button", name="Save this threshold")).to_have_count(0)
    expect(page.get_by_role("link", name="Accounts")).to_be_hidden()
    page.get_by_role("link", name="History").click()
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(page.locator("#export-wrong")).to_be_hidden()
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, "Adam", "secret of Adam")
    page.get_by_role("link", name="Accounts").click()
    expect(page.locator("#accounts tr")).to_have_count(2)
    assert Axe().run(page, options={"resultTypes": ["violations"]}).violations_count == 0
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390
    page.get_by_role("button", name="Add account").click()
    dialog = page.locator("#dialog-account")
    dialog.get_by_label("Name").fill("Quentin")
    dialog.get_by_label("Password").fill("secret of Quentin")
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator("#accounts tr")).to_have_count(3)
    with page.expect_response("**/accounts/Quentin"):
        page.get_by_label("Role of Quentin").select_option("qa")
    line = page.locator("#accounts tr", has_text="Quentin")
    line.get_by_role("button", name="Switch off").click()
    expect(line.locator("td").nth(2)).to_have_text("switched off")
    expect(page.get_by_label("Role of Adam")).to_be_disabled()
    line.get_by_role("button", name="New password").click()
    dialog.get_by_label("Password").fill("another secret")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    found = {one.name: (one.role, one.active) for one in accounts.all()}
    assert found == {"Adam": ("admin", True), "Olga": ("operator", True), "Quentin": ("qa", False)}
    assert accounts.check("Quentin", "another secret") is None  # switched off
    page.get_by_role("link", name="History").click()
    expect(page.locator("#export-wrong")).to_be_visible()
    watched.problems.clear()  # the 401 of the sign-in pages
