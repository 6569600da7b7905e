"""Turn every error into a status code and one line of reason: ``{"detail": "..."}``."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from fastener.common.errors import UserError
from fastener.console.catalogue import UnknownCategory
from fastener.console.guard import SECURITY_HEADERS
from fastener.console.history import ThresholdChanged
from fastener.console.preparing import UnusableImage
from fastener.console.schemas import Problem
from fastener.console.service import Busy, TooManyImages
from fastener.console.settings import ConsoleSettings
from fastener.datasets.images import ImageTooLarge

_LOG = logging.getLogger("uvicorn.error")
RETRY_AFTER = {"Retry-After": "1"}
_REASONS = {
    400: "the body does not have the declared content type",
    403: "the person has not the role that this needs",
    404: "no such category, inspection or account",
    409: "replaced in the meantime, or not possible as things are",
    413: "a larger file than --max-upload-mb, more than 100 megapixels (50 of WebP), or more images than --queue-size",
    415: "not an image that can be read",
    422: "a field is missing or its value is not allowed",
    503: "busy: try again after Retry-After seconds; or the model file, image folder or history cannot be used",
}


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe these status codes for the ``responses`` of a route."""
    return {status: {"model": Problem, "description": _REASONS[status]} for status in statuses}


def status_of(error: Exception) -> int:
    """Map an error to its status code."""
    statuses: dict[type[Exception], int] = {
        UnknownCategory: 404,
        ImageTooLarge: 413,
        ThresholdChanged: 409,
        TooManyImages: 413,
        UnusableImage: 415,
    }
    expected = isinstance(error, (Busy, UserError, SQLAlchemyError))
    return statuses.get(type(error), 503 if expected else 500)


def reason_of(error: Exception) -> str:
    """Explain an error to a person in one line."""
    if isinstance(error, Busy):
        return "the queue is full (see --queue-size); try again"
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, SQLAlchemyError):
        return "the history cannot be reached; the log says more"
    return "internal error; the log says more"


def public_reason(error: Exception, settings: ConsoleSettings) -> str:
    """Explain an error without the names of folders on the server: clients need the file's name only."""
    reason = reason_of(error)
    for folder in (settings.models, settings.pictures_folder):
        whole = folder.resolve()
        for name in (str(whole), str(folder)):
            reason = reason.replace(f"{name}/", "").replace(f"{name}\\", "")
        reason = reason.replace(str(whole), whole.name)
    return reason


def log(error: Exception) -> None:
    """Log the details that ``reason_of`` hides from clients: database errors, and tracebacks of unexpected errors."""
    if isinstance(error, SQLAlchemyError):
        _LOG.error("%s", error)
    elif not isinstance(error, (Busy, UserError)):
        _LOG.error("internal error", exc_info=error)


def add_handlers(app: FastAPI) -> None:
    """Register handlers, so that routes may raise any error."""

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
    @app.exception_handler(SQLAlchemyError)
    async def unusable(request: Request, error: Exception) -> JSONResponse:
        log(error)
        headers = RETRY_AFTER if isinstance(error, Busy | OperationalError) else None
        reason = public_reason(error, request.app.state.service.settings)
        return JSONResponse({"detail": reason}, status_of(error), headers)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        # The server itself logs the traceback.
        return JSONResponse({"detail": reason_of(error)}, status_of(error), SECURITY_HEADERS)
