"""Which models there are, and what each rests on."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, HTTPException

from fastener.console import answers
from fastener.console.catalogue import ServedModel
from fastener.console.problems import documented
from fastener.console.routes.common import TheService
from fastener.console.schemas import Category, ModelInfo, NewThreshold
from fastener.console.service import Service
from fastener.console.tables import ThresholdRow

router = APIRouter(tags=["models"])


@router.get("/categories")
async def categories(service: TheService) -> list[Category]:
    """The models that can be used. Names only, unless a model is loaded: loading may take seconds."""
    names = await service.in_thread(service.catalogue.categories)
    return [answers.category(name, service.catalogue.loaded(name)) for name in names]


@router.get("/model/info/{category:path}", responses=documented(404, 503))
async def model_info(service: TheService, category: str) -> ModelInfo:
    """All about a model; loads it if need be."""
    return await _info(service, await service.model(category))


@router.post("/model/reload/{category:path}", responses=documented(404, 503))
async def reload(service: TheService, category: str) -> ModelInfo:
    """Read the model file again. A file that was replaced is noticed without this."""
    return await _info(service, await service.model(category, anew=True))


@router.put("/model/threshold/{category:path}", responses=documented(400, 404, 409, 422, 503))
async def change_threshold(service: TheService, category: str, new: NewThreshold) -> ModelInfo:
    """Decide by another threshold from the next image on. Logged with its reason; the model file stays as it is.

    It holds for this model file, over restarts, until it is changed again; a model trained anew has its own.
    """
    model = await service.model(category)
    if new.model_checksum != model.checksum:
        raise HTTPException(409, "the model was replaced in the meantime; look at its calibration first")
    await service.in_thread(
        service.history.change_threshold,
        ThresholdRow(
            created_at=datetime.now(UTC),
            category=category,
            model_checksum=model.checksum,
            old=model.inspector.threshold,
            new=new.threshold,
            changed_by=new.changed_by,
            reason=new.reason,
        ),
    )
    service.catalogue.set_threshold(model, new.threshold)
    return await _info(service, await service.model(category))


async def _info(service: Service, model: ServedModel) -> ModelInfo:
    changes = await service.in_thread(service.history.threshold_changes, model.category)
    return answers.model_info(model, changes)
