"""Every error as a status code and one line of reason: ``{"detail": "..."}``."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from console.catalogue import ModelUnusable, UnknownCategory
from console.guard import SECURITY_HEADERS
from console.schemas import Problem
from console.service import Busy
from datasets.images import ImageTooLarge
from errors import UserError

RETRY_AFTER = {"Retry-After": "1"}
_REASONS = {
    400: "the body cannot be read as what it says it is",
    404: "no such category or inspection",
    409: "the model was replaced in the meantime",
    413: "a larger file than --max-upload-mb, or more than 100 megapixels",
    415: "not an image that can be read",
    422: "a field is missing or has no usable value",
    503: "busy: Retry-After says when to come again; or the model file cannot be used",
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route."""
    return {status: {"model": Problem, "description": _REASONS[status]} for status in statuses}


def status_of(error: Exception) -> int:
    """The status code for what went wrong with one image."""
    if isinstance(error, Busy | ModelUnusable):
        return 503
    if isinstance(error, UnknownCategory):
        return 404
    return 413 if isinstance(error, ImageTooLarge) else 415


def reason_of(error: Exception) -> str:
    """The line for a person."""
    return "as many images are under way as this service takes on; try again" if isinstance(error, Busy) else str(error)


def add_handlers(app: FastAPI) -> None:
    """Let routes raise what they meet."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"detail": str(error.detail)}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
        return JSONResponse({"detail": f"{place}: {first['msg']}"}, 422)

    @app.exception_handler(Busy)
    @app.exception_handler(UserError)
    async def unusable(request: Request, error: Exception) -> JSONResponse:
        status = status_of(error)
        return JSONResponse({"detail": reason_of(error)}, status, RETRY_AFTER if isinstance(error, Busy) else None)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": "internal error; the log says more"}, 500, SECURITY_HEADERS)
