"""Serve statistics of the history, and export it as files."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime, tzinfo
from tempfile import SpooledTemporaryFile
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import Field
from starlette.background import BackgroundTask
from starlette.responses import HTMLResponse, Response, StreamingResponse

from fastener.console import responses
from fastener.console.exports import as_csv, write_split
from fastener.console.language import Language, Words
from fastener.console.pictures import THUMBNAIL_SIDE
from fastener.console.problems import error_responses
from fastener.console.report_html import report_html
from fastener.console.report_pdf import report_pdf
from fastener.console.routes.common import TheService, needs
from fastener.console.routes.history import HistoryQuery
from fastener.console.schemas import DayStatistics, Statistics, Text
from fastener.console.service import Service
from fastener.console.shift_report import ShiftReport, shift_report
from fastener.console.statistics import per_day, zone_of
from fastener.inspection.reading import batches

router = APIRouter(tags=["reports"])
_IN_MEMORY = 16 * 2**20  # bytes of the zip before it goes to a file
_LINES = 500  # of the CSV in one chunk
_ASKED = {
    "since": "From", "until": "To", "category": "Model", "decision": "Decision", "reviewed": "Review",
    "text": "File name", "lot": "Lot", "order": "Order", "serial": "Serial number", "shift": "Shift",
    "operator": "Operator",
}  # fmt: skip
_CHUNK = 256 * 1024  # bytes of the zip in one chunk


class SplitQuery(HistoryQuery):
    """Filters of the history, the reviews to export, and the split that the images go into."""

    reviewed: Literal["any", "confirmed", "overruled"] = "overruled"
    split: Literal["train", "valid", "test"] = "train"


class StatisticsQuery(HistoryQuery):
    """Filters of the history, and the time zone in which days are counted."""

    time_zone: Text | None = Field(
        None,
        description="days are counted in this time zone, such as Asia/Tokyo; without it, in the one in which `since` "
        "is midnight, or else in the service's",
    )

    def zone(self) -> tzinfo | None:
        """Find the time zone; raises HTTPException for one that is not known."""
        try:
            return zone_of(self.time_zone, self.since)
        except ValueError as error:
            raise HTTPException(422, str(error)) from None


class ReportQuery(StatisticsQuery):
    """Filters of the history, the time zone of all times, and the language."""

    lang: Language = "en"


@router.get("/statistics", responses=error_responses(422))
def statistics(service: TheService, wanted: Annotated[StatisticsQuery, Query()]) -> Statistics:
    """Count inspections and failures per day and model, with quantiles of the scores."""
    fails = service.settings.no_part == "fail"
    days = per_day(service.history.scores(wanted.filter()), wanted.zone(), no_part_fails=fails)
    loaded = [service.catalogue.loaded(name) for name in service.catalogue.loaded_categories()]
    references = (responses.reference(model) for model in loaded if model is not None)
    return Statistics(
        days=[DayStatistics.model_validate(day) for day in days],
        references=[one for one in references if one is not None],
        no_part_fails=fails,
    )


@router.get("/export/inspections.csv", responses=error_responses(422), response_class=StreamingResponse)
def export_csv(service: TheService, wanted: Annotated[HistoryQuery, Query()]) -> Response:
    """Export the history as a CSV table."""
    lines = as_csv(service.history.all(wanted.filter()))
    chunks = ("".join(some) for some in batches(lines, _LINES))
    return StreamingResponse(chunks, media_type="text/csv", headers=_attached("inspections.csv"))


@router.get(
    "/report/shift", responses=error_responses(422) | {200: {"content": {"text/html": {}}}}, response_class=Response
)
def report_page(service: TheService, request: Request, wanted: Annotated[ReportQuery, Query()]) -> HTMLResponse:
    """Report on the inspections that the filters find, as a page to print."""
    report = _report(service, wanted)
    return HTMLResponse(report_html(report, Words(wanted.lang), f"shift.pdf?{request.url.query}"))


@router.get(
    "/report/shift.pdf",
    responses=error_responses(422) | {200: {"content": {"application/pdf": {}}}},
    response_class=Response,
)
def report_file(service: TheService, wanted: Annotated[ReportQuery, Query()]) -> Response:
    """Report on the inspections that the filters find, as PDF."""

    def thumbnail(checksum: str) -> bytes | None:
        file = service.pictures.derived(checksum, THUMBNAIL_SIDE, service.small_jpeg)
        return None if file is None else file.read_bytes()

    content = report_pdf(_report(service, wanted), thumbnail)
    return Response(content, media_type="application/pdf", headers=_attached("shift.pdf"))


def _report(service: Service, wanted: ReportQuery) -> ShiftReport:
    zone, asked = wanted.zone(), {}
    for name in HistoryQuery.model_fields:
        value = getattr(wanted, name)
        if value is not None:
            moment = isinstance(value, datetime)
            asked[_ASKED[name]] = value.astimezone(zone).strftime("%Y-%m-%d %H:%M") if moment else str(value)
    return shift_report(
        service.history.all(wanted.filter()),
        service.history.threshold_changes(wanted.category, since=wanted.since, until=wanted.until),
        asked=asked,
        zone=zone,
        words=Words(wanted.lang),
        no_part_fails=service.settings.no_part == "fail",
    )


@router.get(
    "/export/labelled.zip",
    responses=error_responses(403, 404, 422),
    response_class=StreamingResponse,
    dependencies=[needs("qa")],
)
def export_split(service: TheService, wanted: Annotated[SplitQuery, Query()]) -> Response:
    """Export reviewed images with the reviewers' labels, for ``train.py --data-dir`` and ``evaluate.py --data-dir``."""
    with ExitStack() as stack:
        file = stack.enter_context(SpooledTemporaryFile(_IN_MEMORY))
        exported = write_split(service.history.all(wanted.filter()), service.pictures, wanted.split, file)
        if not exported.images:
            raise HTTPException(404, "no image to export: first mark decisions as wrong, or choose other filters")
        file.seek(0)
        close = stack.pop_all().close
    headers = _attached("labelled.zip") | {"x-images": str(exported.images), "x-missing": str(exported.missing)}
    chunks = iter(lambda: file.read(_CHUNK), b"")
    return StreamingResponse(chunks, media_type="application/zip", headers=headers, background=BackgroundTask(close))


def _attached(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"'}
