"""List, describe and reload models, and change their thresholds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query

from fastener.console import responses
from fastener.console.catalogue import MOST_TIMES, ServedModel
from fastener.console.problems import error_responses
from fastener.console.routes.common import ThePerson, TheService, needs
from fastener.console.schemas import Category, ModelInfo, NewThreshold, RecentScore
from fastener.console.service import Service
from fastener.console.tables import ThresholdRow

router = APIRouter(tags=["models"])


@router.get("/categories")
async def categories(service: TheService) -> list[Category]:
    """List the models. Threshold and calibration are given for loaded models only, as loading may take seconds."""
    return [responses.category(name, model) for name, model in await service.in_thread(service.catalogue.listed)]


@router.get("/model/info/{category:path}", responses=error_responses(404, 503))
async def model_info(service: TheService, category: str) -> ModelInfo:
    """Describe a model, and load it if it is not in memory."""
    return await _info(service, await service.model_in_force(category))


@router.post("/model/reload/{category:path}", responses=error_responses(403, 404, 503), dependencies=[needs("qa")])
async def reload(service: TheService, category: str) -> ModelInfo:
    """Read the model file again. A replaced file is noticed without this call."""
    return await _info(service, await service.model_in_force(category, reload=True))


@router.put(
    "/model/threshold/{category:path}",
    responses=error_responses(400, 403, 404, 409, 422, 503),
    dependencies=[needs("qa")],
)
async def change_threshold(service: TheService, person: ThePerson, category: str, new: NewThreshold) -> ModelInfo:
    """Set the threshold from the next image on. The change is logged with its reason; the model file is not changed.

    The threshold holds for this model file, also after a restart. A model that is trained again starts with its own.
    """
    model = await service.model_in_force(category)
    if new.model_checksum != model.checksum:
        raise HTTPException(409, "the model file was replaced in the meantime; look at the new calibration first")
    if not len(model.inspector.healthy_scores):
        raise HTTPException(409, "this model fails every photo: it has no threshold that could be changed")
    low, high = model.threshold_range()
    if not low <= new.threshold <= high:
        raise HTTPException(
            422,
            f"threshold: {new.threshold:g} does not lie between {low:g} and {high:g}, {MOST_TIMES} times as high as "
            "this model's healthy photos score; if good parts score higher, train the model with photos of them",
        )
    await service.in_thread(
        service.history.change_threshold,
        ThresholdRow(
            created_at=datetime.now(UTC),
            category=category,
            model_checksum=model.checksum,
            old=model.own_threshold,
            new=new.threshold,
            changed_by=person.name or new.changed_by,
            reason=new.reason,
        ),
        own=model.own_threshold,
        replaces=new.replaces,
    )
    return await _info(service, await service.model_in_force(category))


@router.get("/model/recent/{category:path}", responses=error_responses(404, 422, 503))
async def recent(
    service: TheService, category: str, last: Annotated[int, Query(ge=1, le=5000)] = 500
) -> list[RecentScore]:
    """List the latest scores by this model file, from which the page tells what another threshold would change."""
    model = await service.model_in_force(category)
    rows = await service.in_thread(service.history.recent, category, model.checksum, last)
    return [responses.recent(row) for row in rows]


async def _info(service: Service, model: ServedModel) -> ModelInfo:
    changes = await service.in_thread(service.history.threshold_changes, model.category)
    return responses.model_info(model, changes)
