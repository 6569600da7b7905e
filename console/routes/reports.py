"""The history in figures and as files."""

from __future__ import annotations

from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query
from starlette.background import BackgroundTask
from starlette.responses import Response, StreamingResponse

from fastener.console import answers
from fastener.console.exports import as_csv, write_split
from fastener.console.problems import documented
from fastener.console.routes.common import TheService
from fastener.console.routes.history import Wanted
from fastener.console.schemas import DayStatistics, Statistics
from fastener.console.statistics import per_day
from fastener.inspection.reading import batches

router = APIRouter(tags=["reports"])
_IN_MEMORY = 16 * 2**20
_LINES = 500
_CHUNK = 256 * 1024


class WantedSplit(Wanted):
    """The filters, which reviews, and the split that the images go into."""

    reviewed: Literal["any", "confirmed", "overruled"] = "overruled"
    split: Literal["train", "valid", "test"] = "train"


@router.get("/statistics", responses=documented(422))
def statistics(service: TheService, wanted: Annotated[Wanted, Query()]) -> Statistics:
    """Inspections, failures and scores per day and model."""
    days = per_day(service.history.scores(wanted.filter()))
    loaded = [service.catalogue.loaded(name) for name in service.catalogue.names_loaded()]
    return Statistics(
        days=[DayStatistics.model_validate(day) for day in days],
        references=[answers.reference(model) for model in loaded if model is not None],
    )


@router.get("/export/inspections.csv", responses=documented(422), response_class=StreamingResponse)
def export_csv(service: TheService, wanted: Annotated[Wanted, Query()]) -> Response:
    """The history as a table."""
    lines = as_csv(service.history.all(wanted.filter()))
    chunks = ("".join(some) for some in batches(lines, _LINES))
    return StreamingResponse(chunks, media_type="text/csv", headers=_attached("inspections.csv"))


@router.get("/export/labelled.zip", responses=documented(404, 422), response_class=StreamingResponse)
def export_split(service: TheService, wanted: Annotated[WantedSplit, Query()]) -> Response:
    """Reviewed images with the reviewers' labels, for ``train.py --data-dir`` and ``evaluate.py --data-dir``."""
    with ExitStack() as stack:
        file = stack.enter_context(SpooledTemporaryFile(_IN_MEMORY))
        exported = write_split(service.history.all(wanted.filter()), service.pictures, wanted.split, file)
        if not exported.images:
            raise HTTPException(404, "no image to export: mark decisions as wrong first, or choose other filters")
        file.seek(0)
        close = stack.pop_all().close
    headers = _attached("labelled.zip") | {"x-images": str(exported.images), "x-missing": str(exported.missing)}
    chunks = iter(lambda: file.read(_CHUNK), b"")
    return StreamingResponse(chunks, media_type="application/zip", headers=headers, background=BackgroundTask(close))


def _attached(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"'}
