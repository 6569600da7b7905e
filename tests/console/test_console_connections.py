"""Clients that send half a request, or open connections without end, leave the service to the others."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

import httpx2 as httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from fastener.console.connections import Limits, bounded_protocol, limits_of_this_process
from fastener.start_app import _bound

LIMITS = Limits(head_s=0.3, body_s=0.6, connections=8)


async def echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


@contextmanager
def served(limits: Limits) -> Iterator[int]:
    """The port of a small service with these limits."""
    app = Starlette(routes=[Route("/", echo, methods=["GET", "POST"])])
    server = uvicorn.Server(uvicorn.Config(app, http=bounded_protocol(limits), log_level="warning"))
    with _bound("127.0.0.1", 0) as listener:
        thread = Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(5)


def closed_after(connection: socket.socket, within: float = 3.0) -> float:
    """Seconds until the other side closes; fails if it does not."""
    connection.settimeout(within)
    begun = time.monotonic()
    with suppress(ConnectionResetError):
        assert connection.recv(1) == b""
    return time.monotonic() - begun


@pytest.mark.parametrize(
    ("begin", "seconds"),
    [
        (b"", LIMITS.head_s),
        (b"GET / HTTP/1.1\r\nHost: a", LIMITS.head_s),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n12", LIMITS.body_s),
    ],
)
def test_half_a_request_is_closed(begin: bytes, seconds: float) -> None:
    with served(LIMITS) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(begin)
        assert seconds * 0.5 < closed_after(connection) < seconds + 2


def test_drips_do_not_prolong_it() -> None:
    with served(LIMITS) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        begun = time.monotonic()
        with suppress(OSError):
            for byte in b"GET / HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa":
                connection.sendall(bytes([byte]))
                time.sleep(0.05)
        assert time.monotonic() - begun < 2


def test_others_are_served_and_slow_ones_too() -> None:
    limits = Limits(head_s=5, body_s=5, connections=100)
    with served(limits) as port:
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(64)]
        for connection in slow:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n1")
        with httpx.Client() as client:
            for _ in range(3):  # one connection, several requests, with a pause longer than none
                assert client.post(f"http://127.0.0.1:{port}/", content=b"12345").text == "5"
        slow[0].sendall(b"23")
        assert b"200 OK" in slow[0].recv(1000)
        for connection in slow:
            connection.close()


def test_connections_beyond_the_limit_are_closed_at_once() -> None:
    limits = Limits(head_s=5, body_s=5, connections=8)
    with served(limits) as port:
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
        time.sleep(0.2)
        with socket.create_connection(("127.0.0.1", port)) as ninth:
            assert closed_after(ninth) < 1
        held.pop().close()
        time.sleep(0.2)
        assert httpx.get(f"http://127.0.0.1:{port}/").text == "0"
        for connection in held:
            connection.close()


def test_answers_do_not_wait_for_acknowledgements() -> None:
    with _bound("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_limits_leave_files_to_open() -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        assert limits_of_this_process().connections == 96
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
