"""Inspect uploaded images."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, HTTPException, Request, UploadFile
from fastapi.routing import APIRoute
from starlette.responses import Response

from fastener.console import responses
from fastener.console.catalogue import ServedModel
from fastener.console.preparing import Upload
from fastener.console.problems import error_responses, log, public_reason, status_of
from fastener.console.routes.common import ThePerson, TheService
from fastener.console.schemas import Batch, Failed, Inspected, Short
from fastener.console.service import Origin, Service


class ManyFiles(APIRoute):
    """Reads forms of as many files as may wait in the queue; Starlette's own limit is 1000."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def read_then_handle(request: Request) -> Response:
            most = max(_STARLETTES_LIMIT, request.app.state.service.settings.queue_size + 1)
            await request.form(max_files=most)  # kept by the request
            return await handle(request)

        return read_then_handle


router = APIRouter(tags=["inspect"], route_class=ManyFiles)
_STARLETTES_LIMIT = 1000
_NAME_LENGTH = 255

CategoryField = Annotated[str, Form(description="name of the model, see /categories")]


async def _origin(
    person: ThePerson,
    lot: Annotated[Short, Form(description="lot that the part belongs to")] = "",
    order: Annotated[Short, Form(description="number of the order")] = "",
    serial: Annotated[Short, Form(description="serial number of the part, such as its barcode says")] = "",
    shift: Annotated[Short, Form(description="shift in which it is inspected")] = "",
) -> Origin:
    return Origin(lot=lot, order=order, serial=serial, shift=shift, operator=person.name)


TheOrigin = Annotated[Origin, Depends(_origin)]


@router.post("/inspect", responses=error_responses(400, 404, 413, 415, 422, 503))
async def inspect(
    request: Request,
    service: TheService,
    category: CategoryField,
    image: Annotated[
        UploadFile, File(description="BMP, GIF, JPEG, PNG or TIFF of up to 100 megapixels, WebP of up to 50")
    ],
    origin: TheOrigin,
    return_visualizations: Annotated[bool, Form(description="add heatmap and overlay")] = True,
) -> Inspected:
    """Inspect one image. The result is stored in the history before the response is sent."""
    if len((await request.form()).getlist("image")) > 1:
        raise HTTPException(422, "image: one image a request; send several to /inspect/batch")
    with service.admitted():
        try:
            model = await service.model(category)
            outcome = await service.inspect(model, await _read(image), return_visualizations, origin)
        except Exception as error:
            service.metrics.refused.labels(status_of(error)).inc()
            raise
    return responses.inspected(outcome)


@router.post("/inspect/batch", responses=error_responses(400, 404, 413, 422, 503))
async def inspect_batch(
    service: TheService,
    category: CategoryField,
    images: Annotated[list[UploadFile], File(description="image files, at most --queue-size of them")],
    origin: TheOrigin,
    return_visualizations: Annotated[bool, Form(description="add heatmaps and overlays")] = False,
) -> Batch:
    """Inspect several images. If one cannot be read or stored, its entry gives the reason; the others are inspected."""
    with service.admitted(len(images)):
        model = await service.model(category)
        return Batch(
            results=await asyncio.gather(
                *(_one(service, model, image, return_visualizations, origin) for image in images)
            )
        )


async def _one(
    service: Service, model: ServedModel, image: UploadFile, with_pictures: bool, origin: Origin
) -> Inspected | Failed:
    try:
        return responses.inspected(await service.inspect(model, await _read(image), with_pictures, origin))
    except Exception as error:  # one failed image must not fail the whole batch
        log(error)
        service.metrics.refused.labels(status_of(error)).inc()
        return Failed(file_name=_name(image), status=status_of(error), detail=public_reason(error, service.settings))


async def _read(image: UploadFile) -> Upload:
    return Upload(_name(image), await image.read())


def _name(image: UploadFile) -> str:
    # Databases store neither NUL nor half surrogates; every other character is kept and shown as it is.
    name = (image.filename or "image").replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    return name[:_NAME_LENGTH]
