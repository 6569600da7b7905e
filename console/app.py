"""The service as an ASGI application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from fastener.console.guard import Guard, Rules
from fastener.console.problems import add_handlers
from fastener.console.routes import history, inspect, models, pages, reports
from fastener.console.service import Service

_LOG = logging.getLogger("uvicorn.error")
_HOUR = 60 * 60
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


def create_app(service: Service, hosts: frozenset[str] | None = LOCAL_NAMES) -> FastAPI:
    """The application round ``service``, which it closes at the end.

    ``hosts`` are the names by which it may be called; None allows any, for services that a token or a network guards.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tidying = asyncio.create_task(_forget_old_pictures(service))
        yield
        tidying.cancel()
        with suppress(asyncio.CancelledError):
            await tidying
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="Inspection console",
        version=pages.VERSION,
        description="PASS or FAIL for photos of parts, and a history of every inspection.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    token, limit = service.settings.token, service.settings.max_upload_mb
    rules = Rules(None if token is None else token.get_secret_value(), hosts, round(limit * 2**20))
    app.add_middleware(Guard, rules=rules)
    add_handlers(app)
    for routes in (pages, models, inspect, history, reports):
        app.include_router(routes.router)
    app.mount("/static", StaticFiles(directory=pages.STATIC), name="static")
    return app


async def _forget_old_pictures(service: Service) -> None:
    days = service.settings.retention_days
    while days is not None:
        try:
            await service.in_thread(service.pictures.forget, days)
        except OSError as error:
            _LOG.error("old images could not be removed: %s", error)
        await asyncio.sleep(_HOUR)
