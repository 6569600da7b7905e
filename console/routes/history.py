"""What was inspected before."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.responses import FileResponse

from fastener.console import answers
from fastener.console.history import Filter, Reviewed
from fastener.console.pictures import PREVIEW_SIDE, THUMBNAIL_SIDE, media_type
from fastener.console.problems import documented
from fastener.console.routes.common import TheService
from fastener.console.schemas import Decision, InspectionDetail, Moment, NewReview, Page, Text
from fastener.console.service import Service
from fastener.console.tables import InspectionRow

router = APIRouter(tags=["history"])
_ID = re.compile(r"[0-9a-f]{32}")
# Content never changes under its id; it may be cached by the browser, not by others.
_CACHED = {"cache-control": "private, max-age=3600"}
_SIDES = {"thumbnail": THUMBNAIL_SIDE, "preview": PREVIEW_SIDE}


class Wanted(BaseModel):
    """The filters of the history as query parameters."""

    model_config = ConfigDict(extra="forbid")

    since: Moment | None = None
    until: Moment | None = None
    category: Text | None = None
    decision: Decision | None = None
    reviewed: Reviewed | None = Field(None, description="none: not looked at again; any; confirmed; overruled")
    text: Text | None = Field(None, description="part of the file name")

    @field_validator("since", "until")
    @classmethod
    def _within_the_calendar(cls, value: Moment | None) -> Moment | None:
        if value is not None and not 1970 <= value.year < 9999:
            raise ValueError("the year must lie between 1970 and 9998")
        return value

    def filter(self) -> Filter:
        """For the database."""
        return Filter(**{name: getattr(self, name) for name in Wanted.model_fields})


class WantedPage(Wanted):
    """The filters, and which page."""

    page: int = Field(1, ge=1, le=1_000_000)
    page_size: int = Field(50, ge=1, le=500)


@router.get("/inspections", responses=documented(422))
def inspections(service: TheService, wanted: Annotated[WantedPage, Query()]) -> Page:
    """The history, the newest first."""
    offset = (wanted.page - 1) * wanted.page_size
    total, rows = service.history.find(wanted.filter(), wanted.page_size, offset)
    found = [answers.reviewed(row) for row in rows]
    return Page(total=total, page=wanted.page, page_size=wanted.page_size, inspections=found)


@router.get("/inspections/{id}", responses=documented(404))
def inspection(service: TheService, id: str) -> InspectionDetail:
    """One inspection, and what people said about it."""
    return _detail(service, _row(service, id))


@router.patch("/inspections/{id}", responses=documented(400, 404, 422))
def review(service: TheService, id: str, new: NewReview) -> InspectionDetail:
    """Confirm or overrule a decision. The decision stays as it was made; all reviews are kept, the latest counts."""
    _row(service, id)
    return _detail(service, service.history.review(id, new.verdict, new.reviewer, new.note))


@router.get(
    "/inspections/{id}/image",
    responses=documented(404, 422) | {200: {"content": {"image/*": {}}}},
    response_class=FileResponse,
)
def image(service: TheService, id: str, size: Literal["original", "preview", "thumbnail"] = "original") -> FileResponse:
    """The image as it was uploaded, or a smaller JPEG of it."""
    row = _row(service, id)
    if size == "original":
        file = service.pictures.path(row.image_checksum)
    else:
        file = service.pictures.derived(row.image_checksum, _SIDES[size], service.small_jpeg)
    if file is None:
        raise HTTPException(404, "this image is no longer kept")
    return FileResponse(file, media_type=media_type(file), headers=_CACHED)


@router.get(
    "/inspections/{id}/heatmap",
    responses=documented(404) | {200: {"content": {"image/png": {}}}},
    response_class=FileResponse,
)
def heatmap(service: TheService, id: str) -> FileResponse:
    """The heatmap, a PNG with transparency in the image's proportions."""
    checksum = _row(service, id).heatmap_checksum
    file = service.pictures.path(checksum) if checksum is not None else None
    if file is None:
        raise HTTPException(404, "there is no heatmap of this inspection, or it is no longer kept")
    return FileResponse(file, media_type="image/png", headers=_CACHED)


def _detail(service: Service, row: InspectionRow) -> InspectionDetail:
    kept = service.pictures.path(row.image_checksum) is not None
    return answers.detail(row, service.history.reviews(row.id), kept)


def _row(service: Service, identifier: str) -> InspectionRow:
    row = service.history.get(identifier) if _ID.fullmatch(identifier) else None
    if row is None:
        raise HTTPException(404, "no inspection has this id")
    return row
