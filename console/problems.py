"""Every error as a status code and one line of reason: ``{"detail": "..."}``."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from console.catalogue import UnknownCategory
from console.guard import SECURITY_HEADERS
from console.schemas import Problem
from console.service import Busy, UnusableImage
from datasets.images import ImageTooLarge
from errors import UserError

_LOG = logging.getLogger("uvicorn.error")
RETRY_AFTER = {"Retry-After": "1"}
_REASONS = {
    400: "the body cannot be read as what it says it is",
    404: "no such category or inspection",
    409: "the model was replaced in the meantime",
    413: "a larger file than --max-upload-mb, or more than 100 megapixels",
    415: "not an image that can be read",
    422: "a field is missing or has no usable value",
    503: "busy, and Retry-After says when to come again; or model file, image folder or history cannot be used",
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route."""
    return {status: {"model": Problem, "description": _REASONS[status]} for status in statuses}


def status_of(error: Exception) -> int:
    """The status code for what went wrong with one image."""
    statuses: dict[type[Exception], int] = {UnknownCategory: 404, ImageTooLarge: 413, UnusableImage: 415}
    return statuses.get(type(error), 503)


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

    @app.exception_handler(SQLAlchemyError)
    async def unstored(request: Request, error: SQLAlchemyError) -> JSONResponse:
        _LOG.error("%s", error)
        return JSONResponse({"detail": "the history cannot be reached; the log says more"}, 503)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": "internal error; the log says more"}, 500, SECURITY_HEADERS)
