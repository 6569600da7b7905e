"""Measure where the time of one inspection goes, on the real code path.

Nothing is computed differently for the measurement. While it runs, the functions that make up a stage are wrapped. The
stages of one image add up to its total; the stage "other" is the time that no stage covers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fastener.common.errors import UserError
from fastener.inspection import reading
from fastener.inspection import result as result_module
from fastener.inspection.decision import Decision
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Failure, Inspection
from fastener.models.progress import Progress, no_progress
from fastener.preprocessing.pipeline import Preprocessor

Clock = Callable[[], float]
OTHER = "other"


@dataclass(frozen=True)
class Latency:
    """Hold seconds per inspected image: ``total`` float64 (n,), and ``stages``, name -> float64 (n,), its summands."""

    total: np.ndarray
    stages: dict[str, np.ndarray]

    def summary(self, target_ms: float) -> dict[str, Any]:
        """Give percentiles in milliseconds, the share of each stage, and whether p95 keeps within ``target_ms``."""
        p50, p95, p99 = (1000 * np.percentile(self.total, [50, 95, 99])).tolist()
        return {
            "n": len(self.total),
            "p50_ms": p50,
            "p95_ms": p95,
            "p99_ms": p99,
            "target_ms": target_ms,
            "passed": p95 <= target_ms,
            "stages": {
                name: {
                    "p50_ms": float(1000 * np.median(seconds)),
                    "share": float(seconds.sum() / self.total.sum()),
                }
                for name, seconds in self.stages.items()
            },
        }


class Stopwatch:
    """Add up seconds by stage. A stage inside another one stops the clock of the outer one."""

    def __init__(self, clock: Clock):
        self.clock = clock
        self.seconds: dict[str, float] = {}
        self._inner: list[float] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the body of a ``with`` statement."""
        self._inner.append(0.0)
        start = self.clock()
        try:
            yield
        finally:
            elapsed = self.clock() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + elapsed - self._inner.pop()
            if self._inner:
                self._inner[-1] += elapsed

    def watched(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Wrap a function so that its calls are timed as stage ``name``."""

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.stage(name):
                return function(*args, **kwargs)

        return timed


def measure_latency(
    inspector: Inspector,
    paths: Sequence[Path],
    write: Callable[[Inspection], None],
    *,
    repeat: int = 1,
    warm_up: int = 3,
    clock: Clock | None = None,
    progress: Progress = no_progress,
) -> Latency:
    """Inspect the images one at a time, ``repeat`` times over; ``write`` is called with each result.

    The first ``warm_up`` inspections are not counted: libraries load and buffers grow in them. Raises UserError for an
    image that cannot be read.
    """
    watch = Stopwatch(clock or clock_of(inspector.device))
    totals, rows = [], []
    turns = [*(paths[i % len(paths)] for i in range(warm_up)), *(list(paths) * repeat)]
    with on_parts(inspector, watch):
        for path in progress(turns, len(turns), "timing"):
            watch.seconds = {}
            start = watch.clock()
            result = inspector.inspect([path])[0]
            if isinstance(result, Failure):
                raise UserError(result.error)
            with watch.stage("write"):
                write(result)
            totals.append(watch.clock() - start)
            rows.append(watch.seconds)
    total = np.array(totals[warm_up:])
    names = dict.fromkeys(name for row in rows for name in row)
    stages = {name: np.array([row.get(name, 0.0) for row in rows[warm_up:]]) for name in names}
    return Latency(total, {**stages, OTHER: total - sum(stages.values())})


def clock_of(device: torch.device) -> Clock:
    """Return a clock of wall time in seconds; on a GPU it waits for the queue, or work would count to a later stage."""
    if device.type == "cpu":
        return time.perf_counter

    def synchronised() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return synchronised


@contextmanager
def on_parts(inspector: Inspector, watch: Stopwatch) -> Iterator[None]:
    """Time the parts of ``inspector`` as stages until the block ends."""
    with ExitStack() as stack:
        for owner, name, stage in _parts(inspector):
            stack.enter_context(_replaced(owner, name, watch.watched(getattr(owner, name), stage)))
        yield


def _parts(inspector: Inspector) -> Iterator[tuple[Any, str, str]]:
    """Yield owner, attribute and stage of every function that is timed."""
    yield reading, "read_photo", "decode"
    yield Preprocessor, "__call__", "preprocess"
    for kind, evidence in inspector.evidence.items():
        yield from evidence.stages(kind)
    yield Decision, "join_maps", "map"
    yield result_module, "find_regions", "map"


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Set an attribute, and restore what was there: on the owner itself, or inherited."""
    own, before = name in vars(owner), getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)
