"""Query and review stored inspections, and serve their images."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.responses import FileResponse

from fastener.console import responses
from fastener.console.filters import Filter, Reviewed, Sort
from fastener.console.pictures import PREVIEW_SIDE, THUMBNAIL_SIDE, media_type
from fastener.console.problems import error_responses
from fastener.console.routes.common import ThePerson, TheService
from fastener.console.schemas import Decision, InspectionDetail, Moment, NewReview, Page, Short, Text
from fastener.console.service import Service
from fastener.console.tables import InspectionRow

router = APIRouter(tags=["history"])
_ID = re.compile(r"[0-9a-f]{32}")
# The image of an inspection never changes. "private" lets browsers cache it, but no shared proxy.
_CACHED = {"cache-control": "private, max-age=3600"}
_SIDES = {"thumbnail": THUMBNAIL_SIDE, "preview": PREVIEW_SIDE}


class HistoryQuery(BaseModel):
    """Filters of the history, as query parameters."""

    model_config = ConfigDict(extra="forbid")

    since: Moment | None = None
    until: Moment | None = None
    category: Text | None = None
    decision: Decision | None = None
    reviewed: Reviewed | None = Field(
        None, description="none: not reviewed; any: reviewed; confirmed or overruled: by the latest review"
    )
    text: Text | None = Field(None, description="part of the file name")
    lot: Short | None = None
    order: Short | None = None
    serial: Short | None = None
    shift: Short | None = None
    operator: Short | None = None

    @field_validator("since", "until")
    @classmethod
    def _within_the_calendar(cls, value: Moment | None) -> Moment | None:
        if value is not None and not 1970 <= value.year < 9999:
            raise ValueError("the year must lie between 1970 and 9998")
        return value

    def filter(self) -> Filter:
        """Convert the parameters to a filter of the database."""
        return Filter(**{name: getattr(self, name) for name in HistoryQuery.model_fields})


class PageQuery(HistoryQuery):
    """Filters of the history, their order, and the page to return."""

    sort: Sort = "time"
    descending: bool = True
    page: int = Field(1, ge=1, le=1_000_000)
    page_size: int = Field(50, ge=1, le=500)


@router.get("/inspections", responses=error_responses(422))
def inspections(service: TheService, wanted: Annotated[PageQuery, Query()]) -> Page:
    """List stored inspections, the newest first unless ``sort`` says otherwise."""
    offset = (wanted.page - 1) * wanted.page_size
    total, rows = service.history.find(
        wanted.filter(), wanted.page_size, offset, sort=wanted.sort, descending=wanted.descending
    )
    found = [responses.reviewed(row) for row in rows]
    return Page(total=total, page=wanted.page, page_size=wanted.page_size, inspections=found)


@router.get("/inspections/{id}", responses=error_responses(404))
def inspection(service: TheService, id: str) -> InspectionDetail:
    """Return one inspection with all its reviews."""
    return _detail(service, _row(service, id))


@router.patch("/inspections/{id}", responses=error_responses(400, 404, 422))
def review(service: TheService, person: ThePerson, id: str, new: NewReview) -> InspectionDetail:
    """Confirm or overrule a decision. The decision itself is not changed; all reviews are kept, the latest counts.

    Where people sign in by name, the review bears the name of the account.
    """
    _row(service, id)
    reviewer = person.name or new.reviewer
    return _detail(service, service.history.review(id, new.verdict, reviewer=reviewer, note=new.note))


@router.get(
    "/inspections/{id}/image",
    responses=error_responses(404, 422) | {200: {"content": {"image/*": {}}}},
    response_class=FileResponse,
)
def image(service: TheService, id: str, size: Literal["original", "preview", "thumbnail"] = "original") -> FileResponse:
    """Return the image as it was uploaded, or a smaller JPEG of it."""
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
    responses=error_responses(404) | {200: {"content": {"image/png": {}}}},
    response_class=FileResponse,
)
def heatmap(service: TheService, id: str) -> FileResponse:
    """Return the heatmap as a PNG with transparency and the aspect ratio of the image."""
    checksum = _row(service, id).heatmap_checksum
    file = service.pictures.path(checksum) if checksum is not None else None
    if file is None:
        raise HTTPException(404, "this inspection has no heatmap, or it is no longer kept")
    return FileResponse(file, media_type="image/png", headers=_CACHED)


def _detail(service: Service, row: InspectionRow) -> InspectionDetail:
    kept = service.pictures.path(row.image_checksum) is not None
    return responses.detail(row, service.history.reviews(row.id), kept)


def _row(service: Service, identifier: str) -> InspectionRow:
    row = service.history.get(identifier) if _ID.fullmatch(identifier) else None
    if row is None:
        raise HTTPException(404, "no inspection has this id")
    return row
