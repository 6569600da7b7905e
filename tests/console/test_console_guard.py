"""Who may ask: tokens, names, other sites; what browsers are told; and how the script starts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urljoin

import httpx2 as httpx
import pytest
from console_factory import console, running, service_of
from data_factory import ROOT, run_inside, script
from fastapi.testclient import TestClient

from fastener.console.guard import host_name, is_loopback
from fastener.console.sessions import Attempts

TOKEN = "correct horse battery"
COOKIE = "console-8000"


@pytest.fixture(scope="module")
def guarded(console_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with console(console_models, tmp_path_factory.mktemp("guarded"), hosts=None, token=TOKEN) as client:
        yield client


@pytest.fixture(scope="module")
def client(console_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with console(console_models, tmp_path_factory.mktemp("open")) as found:
        yield found


def signed_in(client: TestClient) -> str:
    """Sign in with the token; return the cookie, which the client itself forgets."""
    answer = client.post("/session", data={"token": TOKEN}, follow_redirects=False)
    client.cookies.clear()
    return answer.headers["set-cookie"].partition(";")[0]


def routes(client: TestClient) -> list[tuple[str, str]]:
    with_token = client.get("/openapi.json", headers={"authorization": f"Bearer {TOKEN}"}).json()["paths"]
    described = [(method.upper(), path) for path, methods in with_token.items() for method in methods]
    return [
        *described,
        ("GET", "/"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/static/main.js"),
        ("GET", "/no"),
    ]


def test_the_token_guards_every_route_but_health(guarded: TestClient) -> None:
    wrong = [{}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}, {"authorization": f"Basic {TOKEN}"}]
    wrong += [{"cookie": f"{COOKIE}={TOKEN}"}, {"cookie": f"{COOKIE}="}, {"authorization": "Bearer ü"}]
    service_of(guarded).attempts.most = 10_000  # all of these come from one address
    for method, path in routes(guarded):
        for headers in wrong:
            status = guarded.request(method, path, headers=httpx.Headers(headers, encoding="utf-8")).status_code
            assert status == (200 if path == "/health" else 401), (method, path, headers)
    service_of(guarded).attempts.__init__()  # type: ignore[misc]
    assert guarded.get("/categories", headers={"authorization": f"bearer {TOKEN}"}).status_code == 200


def test_a_person_signs_in_once(guarded: TestClient) -> None:
    browser = TestClient(guarded.app, "http://10.0.0.5:8000", follow_redirects=False)
    page = browser.get("/", headers={"accept": "text/html"})
    assert (page.status_code, 'name="token"' in page.text) == (401, True)
    assert "sha256-" in page.headers["content-security-policy"]
    wrong = browser.post("/session", data={"token": "<script>"})
    assert (wrong.status_code, "not the token" in wrong.text, "<script>" in wrong.text) == (401, True, False)
    assert browser.post("/session").status_code == 401
    signed = browser.post("/session", data={"token": TOKEN})
    assert (signed.status_code, urljoin("http://a/qa/session", signed.headers["location"])) == (303, "http://a/qa/")
    cookie = signed.headers["set-cookie"]
    assert cookie.startswith("console-8000=")
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.casefold()
    assert browser.get("/categories").status_code == 200
    session = {"signed_in": True, "name": "", "role": "admin", "accounts": False, "token": True}
    assert browser.get("/session").json() == session
    left = browser.post("/session/end")
    assert (left.status_code, urljoin("http://a/qa/session/end", left.headers["location"])) == (303, "http://a/qa/")
    assert browser.get("/categories", headers={"cookie": cookie.partition(";")[0]}).status_code == 401


def test_a_session_ends_and_is_known_to_every_server(
    console_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with console(console_models, tmp_path, hosts=None, token=TOKEN) as one:
        cookie = (
            one.post("/session", data={"token": TOKEN}, follow_redirects=False).headers["set-cookie"].partition(";")[0]
        )
        with console(console_models, tmp_path, hosts=None, token=TOKEN) as other:
            assert other.get("/categories", headers={"cookie": cookie}).status_code == 200
        service_of(one).sessions.lasts = timedelta(seconds=-1)
        ended = (
            one.post("/session", data={"token": TOKEN}, follow_redirects=False).headers["set-cookie"].partition(";")[0]
        )
        assert one.get("/categories", headers={"cookie": ended}).status_code == 401
        database = (tmp_path / "history.db").read_bytes()
    assert cookie.partition("=")[2].encode() not in database


def test_an_address_that_is_often_wrong_has_to_wait(
    console_models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with console(console_models, tmp_path, hosts=None, token=TOKEN) as client:
        cookie = signed_in(client)
        for turn in range(10):
            if turn % 2:
                assert client.post("/session", data={"token": "wrong"}).status_code == 401
            else:
                assert client.get("/categories", headers={"authorization": "Bearer wrong"}).status_code == 401
        refused = client.get("/categories", headers={"authorization": f"Bearer {TOKEN}"})
        assert (refused.status_code, 0 < int(refused.headers["retry-after"]) <= 60) == (429, True)
        assert client.post("/session", data={"token": TOKEN}).status_code == 429
        # Who is signed in goes on working.
        assert client.get("/categories", headers={"cookie": cookie}).status_code == 200
    assert [record.getMessage().partition(" from")[0] for record in caplog.records][:2] == [
        "wrong token",
        "10 wrong tokens",
    ]


def test_attempts_are_forgotten_after_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("fastener.console.sessions.time", SimpleNamespace(monotonic=lambda: now[0]))
    attempts = Attempts(most=2, seconds=60)
    attempts.failed("a")
    attempts.failed("a")
    assert attempts.must_wait("a") == 60
    assert attempts.must_wait("b") == 0
    now[0] = 61
    assert attempts.must_wait("a") == 0


def test_health_says_when_nothing_can_be_stored(console_models: Path, tmp_path: Path) -> None:
    with console(console_models, tmp_path) as client:
        assert client.get("/health").json()["history"] == "ok"
        with closing(sqlite3.connect(tmp_path / "history.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            locked = client.get("/health")
            assert (locked.status_code, locked.json()["status"]) == (503, "degraded")
            other.execute("ROLLBACK")


def test_small_requests(client: TestClient) -> None:
    assert client.head("/").status_code == 200
    twice = client.post(
        "/inspect", data={"category": "nut"}, files=[("image", ("a.png", b"1")), ("image", ("b.png", b"2"))]
    )
    assert (twice.status_code, "one image a request" in twice.json()["detail"]) == (422, True)


def test_other_sites_cannot_reach_a_console_on_this_machine(client: TestClient) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "evil.example:8000", ""):
        refused = client.get("/inspections", headers={"host": host})
        assert (refused.status_code, "--token" in refused.json()["detail"]) == (421, True)
    for host in ("localhost:8000", "127.0.0.1:9", "[::1]:8000", "LOCALHOST"):
        assert client.get("/health", headers={"host": host}).status_code == 200
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9"):
        refused = client.post("/model/reload/nut", headers={"origin": origin})
        assert refused.status_code == 403
        # What a proxy does to Host looks the same: both values, and the remedy.
        for part in (repr(origin), "'127.0.0.1'", "proxy_set_header Host $http_host;"):
            assert part in refused.json()["detail"]
    assert client.post("/model/reload/nut", headers={"origin": "http://127.0.0.1"}).status_code == 200


def test_browsers_are_told_to_run_nothing_of_others(client: TestClient, guarded: TestClient) -> None:
    answers = [client.get(path) for path in ("/", "/docs", "/health", "/no", "/static/main.js", "/inspections/x")]
    for answer in [*answers, guarded.get("/categories"), client.get("/", headers={"host": "evil"})]:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in answer.headers
    preflight = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in client.options("/inspect", headers=preflight).headers


def test_the_page_fetches_nothing_from_elsewhere_and_has_nothing_inline() -> None:
    for file in sorted(path for path in (ROOT / "console" / "static").rglob("*") if path.is_file()):
        source = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in source, file
        assert "https://" not in source, file
        assert "innerHTML" not in source, file
        if file.suffix == ".html":
            assert " style=" not in source
            assert " on" not in source.partition("<body>")[0]
            assert "<script>" not in source


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.0.2", False), ("localhost.example", False)],
)  # fmt: skip
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback


@pytest.mark.parametrize(
    ("header", "name"), [("A.b:80", "a.b"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("", ""), ("[", "]")]
)
def test_host_name(header: str, name: str) -> None:
    assert host_name(header) == name


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--host", "0.0.0.0"], "--token"),
        (["--host", "0.0.0.0", "--token", ""], "--token"),
        (["--max-upload-mb", "0"], "--max-upload-mb: '0' is not allowed: largest request, in MiB; above 0 to 2048"),
        (["--retention-days", "soon"], "--retention-days"),
        (["--database", "nonsense"], "not a URL"),
        (["--host", "not.a.host.invalid", "--insecure"], "cannot listen"),
        (["--port", "99999"], "--port"),
        (["--device", "tpu"], "run.device"),
    ],
    ids=" ".join,
)
def test_what_cannot_start_says_why_in_one_line(
    flags: list[str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run_inside("start_app.py", "--no-browser", "--port", "0", *flags)
    assert done.returncode == 2
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_started_as_a_user_would(console_models: Path, tmp_path: Path) -> None:
    with running(console_models, tmp_path, "--token", TOKEN, "--max-upload-mb", "0.1") as (address, process):
        assert httpx.get(f"{address}/health").json()["models"] == 2
        assert httpx.get(f"{address}/").status_code == 401
        headers = {"authorization": f"Bearer {TOKEN}"}
        # Refused by its length, before a byte of it is asked for; and while it is read, where it gives no length.
        large = httpx.post(f"{address}/inspect", headers=headers, content=b"x" * 2**20)
        assert large.status_code == 413
        port = address.rpartition(":")[2]
        taken = script("start_app.py", "--models", console_models, "--port", port, "--no-browser", cwd=tmp_path)
        assert (taken.returncode, f"port {port}" in taken.stderr) == (2, True)
        process.terminate()
        assert process.wait(20) == 143
        assert process.stdout is not None
        assert process.stdout.read() == ""
