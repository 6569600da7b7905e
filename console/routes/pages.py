"""Serve the console's page, the API documentation, the sign-in, and the state of the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
from fastapi import APIRouter, Form, Request
from starlette.responses import FileResponse, RedirectResponse, Response

from fastener import __version__
from fastener.console.guard import COOKIE, cookie_of, equal_secrets
from fastener.console.routes.common import TheService
from fastener.console.schemas import Health
from fastener.console.sign_in import sign_in_page

STATIC = Path(__file__).parent.parent / "static"

router = APIRouter()


@router.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """Serve the page of the console."""
    return FileResponse(STATIC / "index.html")


@router.get("/docs", include_in_schema=False)
async def documentation() -> FileResponse:
    """Serve the API documentation, which is drawn from /openapi.json and loads nothing from other sites."""
    return FileResponse(STATIC / "docs.html")


@router.post("/session", include_in_schema=False)
async def sign_in(request: Request, service: TheService, token: Annotated[str, Form()] = "") -> Response:
    """Check the token from the sign-in page and set a cookie that no script can read."""
    wanted = service.settings.token
    if wanted is None:
        return RedirectResponse("/", 303)
    if not equal_secrets(token, wanted.get_secret_value()):
        return sign_in_page(401, "That is not the token.")
    answer = RedirectResponse("/", 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, cookie_of(wanted.get_secret_value()), httponly=True, samesite="strict", secure=secure)
    return answer


@router.get("/health", tags=["service"])
async def health(service: TheService) -> Health:
    """Report whether the service is up. This route needs no token."""
    return Health(
        status="ok",
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
