"""Which models there are, and what each rests on."""

from __future__ import annotations

from fastapi import APIRouter

from console import answers
from console.problems import documented
from console.routes.common import TheService
from console.schemas import Category, ModelInfo

router = APIRouter(tags=["models"])


@router.get("/categories")
async def categories(service: TheService) -> list[Category]:
    """The models that can be used. Names only, unless a model is loaded: loading may take seconds."""
    names = await service.aside(service.catalogue.categories)
    return [answers.category(name, service.catalogue.loaded(name)) for name in names]


@router.get("/model/info/{category:path}", responses=documented(404, 503))
async def model_info(service: TheService, category: str) -> ModelInfo:
    """All about a model; loads it if need be."""
    return answers.model_info(await service.model(category))


@router.post("/model/reload/{category:path}", responses=documented(404, 503))
async def reload(service: TheService, category: str) -> ModelInfo:
    """Read the model file again. A file that was replaced is noticed without this."""
    return answers.model_info(await service.model(category, anew=True))
