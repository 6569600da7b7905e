"""Assemble the service as an ASGI application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from fastener import __version__
from fastener.console.guard import Guard, Rules
from fastener.console.problems import add_handlers
from fastener.console.retention import Retention
from fastener.console.routes import accounts, history, inspect, models, pages, reports
from fastener.console.service import Service

_LOG = logging.getLogger("uvicorn.error")
_HOUR = 60 * 60
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


def create_app(service: Service, hosts: frozenset[str] | None = LOCAL_NAMES, *, root_path: str = "") -> FastAPI:
    """Create the application that serves ``service`` and closes it on shutdown.

    ``hosts`` are the host names that requests may carry. None allows any name; use it where a token or the network
    protects the service. ``root_path`` is the path under which a proxy serves it, such as /qa.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        cleanup = asyncio.create_task(_delete_old_pictures(service))
        yield
        cleanup.cancel()
        with suppress(asyncio.CancelledError):
            await cleanup
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="Inspection console",
        version=__version__,
        description="PASS or FAIL for photos of parts, and a history of every inspection.",
        docs_url=None,
        redoc_url=None,
        root_path=root_path,
        lifespan=lifespan,
    )
    app.state.service = service
    token, limit = service.settings.token, service.settings.max_upload_mb
    secret = None if token is None else token.get_secret_value()
    rules = Rules(secret, hosts, round(limit * 2**20), service.sessions, service.attempts, service.accounts)
    app.add_middleware(Guard, rules=rules)
    add_handlers(app)
    for routes in (pages, models, inspect, history, reports, accounts):
        app.include_router(routes.router)
    app.mount("/static", StaticFiles(directory=pages.STATIC), name="static")
    return app


async def _delete_old_pictures(service: Service) -> None:
    """Delete images older than the retention time, once an hour."""
    days = service.settings.retention_days
    if days is None:
        return
    retention = Retention(service.pictures, days)
    while True:
        try:
            await service.in_thread(retention.clean)
        except OSError as error:
            _LOG.error("old images could not be removed: %s", error)
        await asyncio.sleep(_HOUR)
