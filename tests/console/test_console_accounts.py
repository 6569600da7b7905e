"""People sign in by name: roles, names in the audit trail, hashes, and the command that adds them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from argon2 import PasswordHasher
from console_factory import console, send, service_of
from data_factory import run_inside
from fastapi.testclient import TestClient

TOKEN = "correct horse battery"
PASSWORDS = {"Ann": "operator", "Bob": "qa", "管理者": "admin"}
ADMIN = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def client(console_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with console(console_models, tmp_path_factory.mktemp("accounts"), hosts=None, token=TOKEN) as found:
        # The cheapest hashes: the test is not of argon2.
        service_of(found).accounts._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        for name, role in PASSWORDS.items():
            account = {"role": role, "password": f"secret of {name}"}
            answer = found.put(f"/accounts/{quote(name)}", json=account, headers=ADMIN)
            assert answer.json() == {"name": name, "role": role, "active": True}
        yield found


def person(client: TestClient, name: str) -> TestClient:
    """A browser in which somebody is signed in."""
    browser = TestClient(client.app, "http://10.0.0.5:8000", follow_redirects=False)
    answer = browser.post("/session", data={"name": name, "token": f"secret of {name}"})
    assert answer.status_code == 303
    return browser


def test_names_and_passwords_sign_in(client: TestClient) -> None:
    browser = TestClient(client.app, "http://10.0.0.5:8000", follow_redirects=False)
    assert 'name="name"' in browser.get("/", headers={"accept": "text/html"}).text
    for name, password in (("Ann", "wrong"), ("Nobody", "secret of Ann"), ("", "secret of Ann"), ("ann", "")):
        assert browser.post("/session", data={"name": name, "token": password}).status_code == 401
    assert browser.get("/categories").status_code == 401
    assert person(client, "管理者").get("/session").json() == {
        "signed_in": True, "name": "管理者", "role": "admin", "accounts": True, "token": True,
    }  # fmt: skip
    assert client.post("/session", data={"token": TOKEN}, follow_redirects=False).status_code == 303  # still
    client.cookies.clear()
    with service_of(client).history._engine.connect() as connection:
        stored = str(connection.exec_driver_sql("SELECT digest FROM accounts").all())
    assert stored.count("$argon2id$") == len(PASSWORDS)
    assert "secret" not in stored


def test_the_audit_trail_bears_the_name_of_the_account(client: TestClient, good_photos: list[Path]) -> None:
    ann, bob = person(client, "Ann"), person(client, "Bob")
    made = send(ann, good_photos[0]).json()
    assert made["operator"] == "Ann"
    said = ann.patch(f"/inspections/{made['id']}", json={"verdict": "FAIL", "reviewer": "somebody else"}).json()
    assert said["review"]["reviewer"] == "Ann"
    model = bob.get("/model/info/nut").json()
    new = {"threshold": 3.0, "replaces": model["threshold"], "changed_by": "Ann", "reason": "x"}
    new["model_checksum"] = model["model_checksum"]
    assert bob.put("/model/threshold/nut", json=new).json()["threshold_changes"][0]["changed_by"] == "Bob"
    assert bob.get("/inspections?operator=ann").json()["total"] == 1


def test_roles_allow_what_they_say(client: TestClient) -> None:
    calls = {"/model/threshold/nut": ("PUT", "qa"), "/model/reload/nut": ("POST", "qa"), "/accounts": ("GET", "admin"),
             "/export/labelled.zip": ("GET", "qa"), "/accounts/Eve": ("DELETE", "admin")}  # fmt: skip
    ranks = list(PASSWORDS.values())
    for name, role in PASSWORDS.items():
        browser = person(client, name)
        assert browser.get("/inspections").status_code == 200
        for path, (method, needed) in calls.items():
            refused = browser.request(method, path).status_code == 403
            assert refused == (ranks.index(role) < ranks.index(needed)), (name, path)


def test_a_removed_account_is_signed_out(client: TestClient) -> None:
    account = {"role": "operator", "password": "secret of Eve"}
    client.put("/accounts/Eve", json=account, headers=ADMIN)
    eve = person(client, "Eve")
    assert eve.get("/categories").status_code == 200
    assert client.delete("/accounts/Eve", headers=ADMIN).status_code == 204
    service_of(client).sessions._known.clear()  # half a minute later
    assert eve.get("/categories").status_code == 401
    short = client.put("/accounts/Eve", json={"role": "operator", "password": "short"}, headers=ADMIN)
    assert short.status_code == 422


def test_accounts_are_changed_and_switched_off(client: TestClient) -> None:
    account = {"role": "operator", "password": "secret of Max"}
    without = client.put("/accounts/Max", json={"role": "operator"}, headers=ADMIN)
    assert (without.status_code, without.json()["detail"]) == (422, "a new account needs a role and a password")
    client.put("/accounts/Max", json=account, headers=ADMIN)
    assert person(client, "Max").get("/session").json()["role"] == "operator"
    client.put("/accounts/Max", json={"role": "qa"}, headers=ADMIN)  # keeps the password
    there = person(client, "Max")
    assert there.get("/session").json()["role"] == "qa"
    off = client.put("/accounts/Max", json={"active": False}, headers=ADMIN).json()
    assert off == {"name": "Max", "role": "qa", "active": False}
    service_of(client).sessions._known.clear()  # half a minute later
    assert there.get("/categories").status_code == 401
    assert there.post("/session", data={"name": "Max", "token": "secret of Max"}).status_code == 401
    client.put("/accounts/Max", json={"active": True}, headers=ADMIN)
    there = person(client, "Max")
    client.put("/accounts/Max", json={"password": "another secret"}, headers=ADMIN)
    service_of(client).sessions._known.clear()
    assert there.get("/categories").status_code == 401  # whoever knew the old password
    admin = person(client, "管理者")
    for change in ({"role": "qa"}, {"active": False}):
        assert admin.put(f"/accounts/{quote('管理者')}", json=change).status_code == 409
    assert client.delete("/accounts/Max", headers=ADMIN).status_code == 204


def test_where_nobody_signs_in_nobody_locks_others_out(console_models: Path, tmp_path: Path) -> None:
    with console(console_models, tmp_path) as open_to_all:
        assert open_to_all.get("/session").json()["role"] == "qa"
        assert open_to_all.put("/accounts/Eve", json={"role": "qa", "password": "12345678"}).status_code == 403


def test_accounts_are_added_by_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, console_models: Path) -> None:
    add = ["--database", f"sqlite:///{tmp_path}/history.db", "--add-account", "Ann", "--role", "qa"]
    for typed, said in (("short\n", "at least 8 characters"), ("long enough\n", "Ann may sign in as qa")):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        done = run_inside("start_app.py", *add)
        assert said in done.stdout + done.stderr
    with console(console_models, tmp_path, hosts=None) as client:
        assert client.get("/categories").status_code == 401
        assert "token" not in client.get("/", headers={"accept": "text/html"}).text.replace('name="token"', "").replace(
            'id="token"', ""
        ).replace('for="token"', "")
        signed = client.post("/session", data={"name": "Ann", "token": "long enough"}, follow_redirects=False)
        assert signed.status_code == 303
