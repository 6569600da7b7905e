"""Serve the console's page, the API documentation, the sign-in, and the state of the service."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Annotated

import torch
from fastapi import APIRouter, Form, Request
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import FileResponse, RedirectResponse, Response

from fastener import __version__
from fastener.console.accounts import ANYBODY
from fastener.console.guard import address_of, cookie_name, equal_secrets, session_of
from fastener.console.language import words_for
from fastener.console.routes.common import TheService
from fastener.console.schemas import Health
from fastener.console.service import Service
from fastener.console.sign_in import sign_in_page

STATIC = Path(__file__).parent.parent / "static"

router = APIRouter()
_HEALTH_S = 2.0  # a database that keeps a write waiting for longer counts as locked


@router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
async def page() -> FileResponse:
    """Serve the page of the console."""
    return FileResponse(STATIC / "index.html")


@router.get("/docs", include_in_schema=False)
async def documentation() -> FileResponse:
    """Serve the API documentation, which is drawn from /openapi.json and loads nothing from other sites."""
    return FileResponse(STATIC / "docs.html")


@router.post("/session", include_in_schema=False)
async def sign_in(
    request: Request, service: TheService, token: Annotated[str, Form()] = "", name: Annotated[str, Form()] = ""
) -> Response:
    """Check what the sign-in page sends, and set a cookie that no script can read."""
    by_name, by_token = await service.in_thread(service.accounts.exist), service.settings.token is not None
    if not by_token and not by_name:
        return RedirectResponse("./", 303)
    address, name, words = address_of(request.scope), name.strip(), words_for(request)
    wait = service.attempts.must_wait(address)
    if wait:
        note = words("Too many wrong tries. Try again in {seconds} seconds.", seconds=math.ceil(wait))
        return sign_in_page(429, words, note, by_name=by_name, by_token=by_token)
    if name:
        right = await service.in_thread(service.accounts.check, name, token) is not None
    else:
        right = _is_token(service, token)
    if not right:
        service.attempts.failed(address)
        note = words("That is not right.") if by_name else words("That is not the token.")
        return sign_in_page(401, words, note, by_name=by_name, by_token=by_token)
    answer = RedirectResponse("./", 303)
    answer.set_cookie(
        cookie_name(request.scope),
        await service.in_thread(service.sessions.begin, name),
        max_age=int(service.sessions.lasts.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


def _is_token(service: Service, given: str) -> bool:
    wanted = service.settings.token
    return wanted is not None and equal_secrets(given, wanted.get_secret_value())


@router.post("/session/end", include_in_schema=False)
async def sign_out(request: Request, service: TheService) -> Response:
    """End the session of this browser."""
    identifier = session_of(request.scope)
    if identifier:
        await service.in_thread(service.sessions.end, identifier)
    answer = RedirectResponse("../", 303)
    answer.delete_cookie(cookie_name(request.scope), httponly=True, samesite="strict")
    return answer


@router.get("/session", include_in_schema=False)
async def session(request: Request, service: TheService) -> dict[str, bool | str]:
    """Tell the page who is signed in and what that person may do, and how people sign in: by name, by the token."""
    identifier = session_of(request.scope)
    found = await service.in_thread(service.sessions.person, identifier) if identifier else None
    by_name, by_token = await service.in_thread(service.accounts.exist), service.settings.token is not None
    person = found or (None if by_name or by_token else ANYBODY)
    return {
        "signed_in": found is not None,
        "name": "" if person is None else person.name,
        "role": "" if person is None else person.role,
        "accounts": by_name,
        "token": by_token,
    }


@router.get("/health", tags=["service"], responses={503: {"model": Health}})
async def health(service: TheService, response: Response) -> Health:
    """Report whether the service is up, with status 503 while the history cannot be written. Needs no token."""
    try:
        await asyncio.wait_for(service.in_thread(service.history.check_writable), _HEALTH_S)
        history = "ok"
    except (SQLAlchemyError, TimeoutError):
        history = "the history cannot be written: the database is locked, read-only or out of reach"
        response.status_code = 503
    return Health(
        status="ok" if history == "ok" else "degraded",
        history=history,
        device=service.device.type,
        cuda_available=torch.cuda.is_available(),
        models=len(await service.in_thread(service.catalogue.categories)),
        queue=service.in_flight,
        version=__version__,
    )


@router.get("/metrics", tags=["service"], response_class=Response)
async def metrics(service: TheService) -> Response:
    """Export counters for Prometheus."""
    return Response(service.metrics.text(), media_type=service.metrics.content_type)
