"""Run one inspection from upload to response: prepare, infer, draw, store. Slow work runs off the event loop."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from io import BytesIO
from math import isnan
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from fastener.common.errors import UserError
from fastener.config import RunSettings
from fastener.console.accounts import Accounts
from fastener.console.batching import Batcher
from fastener.console.catalogue import Catalogue, ServedModel
from fastener.console.database import open_database
from fastener.console.flushing import Flusher
from fastener.console.history import History
from fastener.console.metrics import Metrics
from fastener.console.pictures import heatmap_png, heatmap_rgba, is_large, overlay_jpeg, small_jpeg
from fastener.console.preparing import Prepared, Upload, prepare
from fastener.console.servable import Read, read_inspector
from fastener.console.sessions import Attempts, Sessions
from fastener.console.settings import ConsoleSettings
from fastener.console.store import PictureStore
from fastener.console.tables import DECISIONS, RESULT_COLUMNS, InspectionRow
from fastener.inspection.result import Inspection
from fastener.models.runtime.device import resolve_device

_PATIENCE_S = 3.0  # for threads at the end
_DISK_THREADS = 4  # one waits for the disk while others write
T = TypeVar("T")


class TooManyImages(UserError):
    """Raised when one request has more images than the whole queue holds."""


class Busy(Exception):
    """Raised when the queue is full."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a part comes from, and who inspects it; "" where nobody said.

    Attributes
    ----------
    lot, order, serial, shift : str
        As the sender of the image says, at most 80 characters each.
    operator : str
        Name of the account that is signed in.
    """

    lot: str = ""
    order: str = ""
    serial: str = ""
    shift: str = ""
    operator: str = ""


UNKNOWN_ORIGIN = Origin()


@dataclass(frozen=True)
class Outcome:
    """A stored inspection with its pictures.

    Attributes
    ----------
    row : InspectionRow
        The row in the history.
    heatmap : bytes or None
        Transparent PNG; None if pictures were not asked for or no kind of evidence gave a map.
    overlay : bytes or None
        JPEG of the photo under the heatmap; None in the same cases.
    """

    row: InspectionRow
    heatmap: bytes | None
    overlay: bytes | None


class Service:
    """Models, history, pictures and worker threads of one console; ``close`` it at the end.

    Parameters
    ----------
    settings : ConsoleSettings
        Folders, database and limits.
    device : str
        Device that the models compute on: "auto", "cpu" or "cuda".
    run : RunSettings
        Settings that every model is loaded with.
    read : callable
        Reads a model's file, see ``Catalogue``.
    """

    def __init__(self, settings: ConsoleSettings, device: str, run: RunSettings, *, read: Read = read_inspector):
        self.settings = settings
        self.device = resolve_device(device)
        engine = open_database(settings.database)
        self._flusher = Flusher(engine)
        self.history, self.attempts = History(engine), Attempts()
        self.accounts, self.sessions = Accounts(engine), Sessions(engine)
        self.pictures = PictureStore(settings.pictures_folder)
        self.catalogue = Catalogue(
            settings.models,
            device=device,
            run=run,
            memory_mb=settings.model_memory_mb,
            saved_threshold=self.history.saved_threshold,
            read=read,
        )
        self.metrics = Metrics(lambda: self.in_flight)
        self.in_flight = 0
        self.stuck = False
        self._batcher = Batcher(settings.batch_size, self.metrics.batch.observe)
        self._image_pool = ThreadPoolExecutor(min(8, max(2, os.cpu_count() or 2)), "image")
        # Large images are decoded one at a time to bound memory, in a pool of their own so that others never wait.
        self._large_image_pool = ThreadPoolExecutor(1, "large")
        self._disk_pool = ThreadPoolExecutor(_DISK_THREADS, "disk")
        # Loading a model takes seconds and must not delay photos for models that are in memory.
        self._load_pool = ThreadPoolExecutor(1, "loader")

    def close(self) -> None:
        """Finish all accepted images, then stop the threads and close the database.

        A thread that still decodes after some seconds is not waited for; ``stuck`` tells.
        """
        ending = threading.Thread(target=self._end_threads, daemon=True)
        ending.start()
        ending.join(_PATIENCE_S)
        self.stuck = ending.is_alive()
        self._flusher.close()
        self.history.close()

    def _end_threads(self) -> None:
        self._batcher.close()
        for pool in (self._load_pool, self._large_image_pool, self._image_pool, self._disk_pool):
            pool.shutdown(cancel_futures=True)

    @contextmanager
    def admitted(self, images: int = 1) -> Iterator[None]:
        """Reserve places in the queue for the time of a ``with`` block. Call this on the event loop only.

        Raises Busy if the queue has too few free places, and TooManyImages if the whole queue is too small.
        """
        limit = self.settings.queue_size
        if images > limit:
            raise TooManyImages(f"{images} images in one request; send at most {limit} at a time (see --queue-size)")
        if self.in_flight + images > limit:
            raise Busy
        self.in_flight += images
        try:
            yield
        finally:
            self.in_flight -= images

    async def model(self, category: str, reload: bool = False) -> ServedModel:
        """Return the model, and load it if it is not in memory. Raises the errors of ``Catalogue.load``."""
        in_memory = None if reload else self.catalogue.loaded(category)
        if in_memory is not None:
            return in_memory
        return await _run_in(self._load_pool, self.catalogue.load, category, reload)

    async def model_in_force(self, category: str, reload: bool = False) -> ServedModel:
        """Return the model as ``model`` does, with the threshold that another server may have changed meanwhile."""
        return await self.in_thread(self.catalogue.with_saved_threshold, await self.model(category, reload))

    async def inspect(
        self, model: ServedModel, upload: Upload, with_pictures: bool, origin: Origin = UNKNOWN_ORIGIN
    ) -> Outcome:
        """Inspect an image by the threshold that is in force, and store the result before returning it.

        Raises UnusableImage or ImageTooLarge, and UserError or SQLAlchemyError if the result could not be stored.
        """
        start = time.perf_counter()
        prepared = await _run_in(self._image_pool, self._prepare_unless_large, upload, model, with_pictures)
        if prepared is None:
            prepared = await _run_in(self._large_image_pool, self._prepare, upload, model, with_pictures)
        # The disk is slow: it stores the image while the model computes.
        stored = self._disk_pool.submit(self.pictures.save, upload.content, prepared.checksum)
        result = await asyncio.wrap_future(self._batcher.submit(prepared.model.inspector, prepared.loaded))
        outcome = await _run_in(self._image_pool, self._finish, prepared, result, stored, start, origin)
        self.metrics.inspections.labels(model.category, outcome.row.decision).inc()
        self.metrics.seconds.observe(outcome.row.seconds)
        return outcome

    async def in_thread(self, function: Callable[..., T], *arguments: object, **more: object) -> T:
        """Run a function that may wait for the disk, in a thread that decodes no photos."""
        return await asyncio.to_thread(function, *arguments, **more)

    def small_jpeg(self, file: Path, side: int) -> bytes:
        """Call ``pictures.small_jpeg``, one large image at a time. Do not call this on the event loop."""
        with file.open("rb") as content:
            large = is_large(content, side)
        return self._large_image_pool.submit(small_jpeg, file, side).result() if large else small_jpeg(file, side)

    def _prepare_unless_large(self, upload: Upload, model: ServedModel, with_pictures: bool) -> Prepared | None:
        large = is_large(BytesIO(upload.content), model.inspector.preprocessor.useful_side)
        return None if large else self._prepare(upload, model, with_pictures)

    def _prepare(self, upload: Upload, model: ServedModel, with_pictures: bool) -> Prepared:
        # Thresholds are asked for each time, since another server on the same database may have changed one.
        return prepare(upload, self.catalogue.with_saved_threshold(model), with_pictures)

    def _finish(
        self, prepared: Prepared, result: Inspection, stored: Future[str], start: float, origin: Origin
    ) -> Outcome:
        layer, preview = heatmap_rgba(result), prepared.preview
        heatmap = None if layer is None else heatmap_png(layer)
        overlay = None if preview is None or layer is None else overlay_jpeg(preview, layer)
        row = InspectionRow(
            id=uuid4().hex,
            created_at=datetime.now(UTC),
            category=prepared.model.category,
            model_checksum=prepared.model.checksum,
            file_name=prepared.upload.name,
            # Pictures are stored first: a row whose image is missing would be worse than an image without a row.
            image_checksum=stored.result(),
            heatmap_checksum=self.pictures.save(heatmap, durable=False) if heatmap is not None else None,
            width=result.photo_size[1],
            height=result.photo_size[0],
            decision=DECISIONS[result.verdict],
            seconds=time.perf_counter() - start,
            **asdict(origin),
            naming=None if result.naming is None else asdict(result.naming),
            **{field.name: _known(field.value(result)) for field in RESULT_COLUMNS},
        )
        self.history.add(row)
        return Outcome(row, heatmap if preview is not None else None, overlay)


def _known(value: object) -> object:
    """Turn NaN, the value of what a model does not know, into None."""
    return None if isinstance(value, float) and isnan(value) else value


async def _run_in(pool: ThreadPoolExecutor, function: Callable[..., T], *arguments: object) -> T:
    return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)
