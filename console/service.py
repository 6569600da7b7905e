"""One inspection from upload to answer: prepare, infer, draw, store. Everything slow runs off the event loop."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from fastener.common.errors import UserError
from fastener.config import RunSettings
from fastener.console.batching import Batcher
from fastener.console.catalogue import Catalogue, ServedModel
from fastener.console.database import open_database
from fastener.console.history import History
from fastener.console.metrics import Metrics
from fastener.console.pictures import OVERLAY_SIDE, heatmap_png, is_large, overlay_jpeg, small_jpeg
from fastener.console.settings import ConsoleSettings
from fastener.console.store import PictureStore
from fastener.console.tables import FAIL, PASS, InspectionRow
from fastener.datasets.images import ImageTooLarge, decode_reduced
from fastener.inspection.drawing import Picture
from fastener.inspection.inspector import Inspector
from fastener.inspection.reading import Loaded
from fastener.inspection.result import Inspection
from fastener.inspection.writers import record, shrunk
from fastener.models.runtime.device import resolve_device

MAX_PIXELS = 100_000_000
T = TypeVar("T")


class UnusableImage(UserError):
    """Not an image, damaged, or too small."""


class TooManyImages(UserError):
    """More images in one request than the service ever takes on."""


class Busy(Exception):
    """As many images are under way as the service takes on."""


@dataclass(frozen=True)
class Upload:
    """What a client sent: the file's name, shown and never used as a path, and its bytes."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Outcome:
    """What is stored of an inspection, and its pictures if they were asked for: PNG and JPEG."""

    row: InspectionRow
    heatmap: bytes | None
    overlay: bytes | None


@dataclass(frozen=True)
class _Received:
    """An upload, ready for the model; ``preview`` is there if pictures are wanted."""

    upload: Upload
    checksum: str
    preview: Picture | None
    loaded: Loaded


class Service:
    """Everything that lives as long as the process. Make it, use it, ``close`` it."""

    def __init__(self, settings: ConsoleSettings, device: str, run: RunSettings):
        self.settings = settings
        self.device = resolve_device(device)
        self.history = History(open_database(settings.database))
        self.pictures = PictureStore(settings.pictures_folder)
        self.catalogue = Catalogue(
            settings.models, device, run, settings.model_memory_mb, self.history.chosen_threshold
        )
        self.metrics = Metrics(lambda: self.under_way)
        self.under_way = 0
        self._batcher = Batcher(settings.batch_size, self.metrics.batch.observe)
        self._helpers = ThreadPoolExecutor(min(8, max(2, os.cpu_count() or 2)), "helper")
        # One at a time, for their memory; and apart, for helpers that wait for a turn would help nobody.
        self._large = ThreadPoolExecutor(1, "large")
        # Loading takes seconds: it must not hold up photos of models that are there.
        self._loader = ThreadPoolExecutor(1, "loader")

    def close(self) -> None:
        """Finish what was taken on."""
        self._batcher.close()
        self._loader.shutdown()
        self._large.shutdown()
        self._helpers.shutdown()
        self.history.close()

    @contextmanager
    def admitted(self, images: int = 1) -> Iterator[None]:
        """Count images as under way. On the event loop only.

        Raises Busy if that would be more than ``queue_size``, and TooManyImages if they alone are.
        """
        limit = self.settings.queue_size
        if images > limit:
            raise TooManyImages(f"{images} images in one request; send at most {limit} at a time (see --queue-size)")
        if self.under_way + images > limit:
            raise Busy
        self.under_way += images
        try:
            yield
        finally:
            self.under_way -= images

    async def model(self, category: str, anew: bool = False) -> ServedModel:
        """The model, loaded if need be. Raises as ``Catalogue.load`` does."""
        there = None if anew else self.catalogue.loaded(category)
        if there is not None:
            return there
        return await _in(self._loader, self.catalogue.load, category, anew)

    async def inspect(self, model: ServedModel, upload: Upload, with_pictures: bool) -> Outcome:
        """Inspect, store, and only then return.

        Raises UnusableImage or ImageTooLarge, and UserError or SQLAlchemyError if it could not be stored.
        """
        start = time.perf_counter()
        wanted = upload, model.inspector, with_pictures
        received = await _in(self._helpers, _prepare_unless_large, *wanted)
        if received is None:
            received = await _in(self._large, _prepare, *wanted)
        result = await asyncio.wrap_future(self._batcher.submit(model.inspector, received.loaded))
        outcome = await _in(self._helpers, self._finish, model, received, result, start)
        self.metrics.inspections.labels(model.category, outcome.row.decision).inc()
        self.metrics.seconds.observe(outcome.row.seconds)
        return outcome

    async def in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """Run something that may wait for a disk, without waiting for photos that are being decoded."""
        return await asyncio.to_thread(function, *arguments)

    def small_jpeg(self, file: Path, side: int) -> bytes:
        """``pictures.small_jpeg``, large images one at a time. Not on the event loop."""
        with file.open("rb") as content:
            large = is_large(content, side)
        return self._large.submit(small_jpeg, file, side).result() if large else small_jpeg(file, side)

    def _finish(self, model: ServedModel, received: _Received, result: Inspection, start: float) -> Outcome:
        heatmap, preview = heatmap_png(result), received.preview
        overlay = overlay_jpeg(preview, heatmap) if preview is not None and heatmap is not None else None
        entry = record(result)
        row = InspectionRow(
            id=uuid4().hex,
            created_at=datetime.now(UTC),
            category=model.category,
            model_checksum=model.checksum,
            file_name=received.upload.name,
            # Pictures first: a row whose image is missing would be worse than an image without a row.
            image_checksum=self.pictures.keep(received.upload.content, received.checksum),
            heatmap_checksum=self.pictures.keep(heatmap) if heatmap is not None else None,
            width=result.photo_size[1],
            height=result.photo_size[0],
            score=result.score,
            threshold=result.threshold,
            p_value=result.p_value,
            confidence=result.confidence,
            decision=FAIL if result.is_anomalous else PASS,
            part_found=result.part_found,
            evidence=entry["evidence"],
            regions=entry["regions"],
            seconds=time.perf_counter() - start,
        )
        self.history.add(row)
        return Outcome(row, heatmap if preview is not None else None, overlay)


def _prepare_unless_large(upload: Upload, inspector: Inspector, with_pictures: bool) -> _Received | None:
    if is_large(BytesIO(upload.content), inspector.preprocessor.useful_side):
        return None
    return _prepare(upload, inspector, with_pictures)


def _prepare(upload: Upload, inspector: Inspector, with_pictures: bool) -> _Received:
    try:
        side = inspector.preprocessor.useful_side
        photo, size = decode_reduced(BytesIO(upload.content), "the image", side, MAX_PIXELS)
    except ImageTooLarge:
        raise
    except UserError as error:
        raise UnusableImage(str(error)) from None
    # What waits for the model is small, however large the photo was.
    return _Received(
        upload,
        sha256(upload.content).hexdigest(),
        shrunk(photo, OVERLAY_SIDE) if with_pictures else None,
        Loaded(None, inspector.preprocessor(photo).of_photo(size)),
    )


async def _in(pool: ThreadPoolExecutor, function: Callable[..., T], *arguments: object) -> T:
    return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)
