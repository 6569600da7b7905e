"""Batch photos that wait for the same model; one thread computes all batches."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from fastener.common.errors import UserError
from fastener.console.servable import Servable
from fastener.inspection.reading import Loaded
from fastener.inspection.result import Inspection
from fastener.models.networks import TRACING


@dataclass(frozen=True)
class _Job:
    inspector: Servable
    photo: Loaded
    result: Future[Inspection]


class Batcher:
    """Inspect photos in batches on one worker thread.

    No photo waits for a batch to fill: a batch holds the photos that arrived while the previous batch was computed.

    Parameters
    ----------
    batch_size : int
        Largest number of photos in a batch, at least 1.
    on_batch : callable, optional
        Called with the size of each batch before it is computed.
    """

    def __init__(self, batch_size: int, on_batch: Callable[[int], None] = lambda size: None):
        self.batch_size = batch_size
        self._on_batch = on_batch
        self._waiting: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)
        self._thread.start()

    def submit(self, inspector: Servable, photo: Loaded) -> Future[Inspection]:
        """Queue a photo that ``inspector`` has prepared. Raises RuntimeError after ``close``."""
        job = _Job(inspector, photo, Future())
        with self._changed:
            if self._closed:
                raise RuntimeError("the worker has stopped")
            self._waiting.append(job)
            self._changed.notify()
        return job.result

    def close(self) -> None:
        """Inspect all photos in the queue, then stop the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            self._on_batch(len(batch))
            with TRACING:  # a model may be loaded meanwhile
                _run(batch)

    def _next_batch(self) -> list[_Job]:
        """Wait for a job, and take it with later jobs for the same model; an empty list ends the thread."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            batch: list[_Job] = []
            others: deque[_Job] = deque()
            while self._waiting:
                job = self._waiting.popleft()
                fits = not batch or (job.inspector is batch[0].inspector and len(batch) < self.batch_size)
                (batch if fits else others).append(job)
            self._waiting = others
        return batch


def _run(batch: list[_Job]) -> None:
    jobs = [job for job in batch if job.result.set_running_or_notify_cancel()]
    if not jobs:
        return
    try:
        results = list(jobs[0].inspector.inspect_loaded([job.photo for job in jobs]))
    except Exception as error:
        if len(jobs) == 1:
            jobs[0].result.set_exception(error)
            return
        # One photo must not fail the other photos that happen to share its batch.
        for job in jobs:
            _run_alone(job)
        return
    for job, result in zip(jobs, results, strict=True):
        if isinstance(result, Inspection):
            job.result.set_result(result)
        else:
            job.result.set_exception(UserError(result.error))


def _run_alone(job: _Job) -> None:
    try:
        (result,) = job.inspector.inspect_loaded([job.photo])
        assert isinstance(result, Inspection)
    except Exception as error:
        job.result.set_exception(error)
    else:
        job.result.set_result(result)
