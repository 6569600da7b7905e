"""Connections that slow or hostile clients cannot hold open: a limit of their number, and of the time for a request."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_LOG = logging.getLogger("uvicorn.error")
_SILENCE_S = 60.0
# Files that a process has open beside its connections: models, the database, pictures, libraries.
_OTHER_FILES = 64


@dataclass(frozen=True)
class Limits:
    """What a connection may take.

    Attributes
    ----------
    head_s : float
        Seconds from the first byte of a request, or from the connection, to the end of its headers.
    body_s : float
        Seconds from there to the end of its body.
    connections : int
        Connections at a time. Further ones are closed at once.
    """

    head_s: float = 10.0
    body_s: float = 120.0
    connections: int = 512


def limits_of_this_process() -> Limits:
    """Make limits that leave files to open for everything else."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return Limits()
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed == resource.RLIM_INFINITY:
        return Limits()
    return Limits(connections=max(8, min(Limits.connections, (allowed - _OTHER_FILES) // 2)))


def bounded_protocol(limits: Limits) -> type[H11Protocol]:
    """Make the class that uvicorn speaks HTTP with, as its setting ``http``."""
    last_warning = [-_SILENCE_S]

    class BoundedProtocol(H11Protocol):
        """HTTP of one connection, which ends where a request takes too long."""

        _deadline: asyncio.TimerHandle | None = None
        _waits_for = ""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                if time.monotonic() - last_warning[0] > _SILENCE_S:
                    last_warning[0] = time.monotonic()
                    _LOG.warning("more than %d connections: further ones are closed", limits.connections)
                transport.abort()
                return
            self._wait_for("head")

        def connection_lost(self, exc: Exception | None) -> None:
            self._wait_for("")
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if not self.transport.is_closing():
                self._wait_for({h11.IDLE: "head", h11.SEND_BODY: "body"}.get(self.conn.their_state, ""))

        def _wait_for(self, part: str) -> None:
            """Start the clock for the part of a request that is now awaited, unless it runs already."""
            if part == self._waits_for:
                return
            self._waits_for = part
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None
            if part:
                seconds = limits.head_s if part == "head" else limits.body_s
                self._deadline = self.loop.call_later(seconds, self._too_slow)

        def _too_slow(self) -> None:
            transport: Any = self.transport
            if not transport.is_closing():
                transport.abort()

    return BoundedProtocol
