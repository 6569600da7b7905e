"""Inspect very many images: Ray Data reads and prepares them, a pool of actors scores them, one process writes.

Each actor holds the Inspector. Only the process that asked writes, so no folder has to be shared for results; and a
piece of work that Ray repeats, because a worker died, is written once: under the one name of its shard.
"""

from __future__ import annotations

import logging
import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from fastener.config import Config
from fastener.datasets.folder import is_baseline
from fastener.datasets.images import shrunk
from fastener.distributed import ray_engine
from fastener.distributed.images import load_named, read_named
from fastener.distributed.ray_engine import Shipped, Workers, local_copy
from fastener.distributed.registered import Registered
from fastener.distributed.shards import Shard
from fastener.inspection.drawing import png
from fastener.inspection.inspector import Inspector
from fastener.inspection.pictures import PREVIEW_SIDE, detection_picture, overlay_picture
from fastener.inspection.reading import ahead, batches
from fastener.inspection.result import Inspection
from fastener.inspection.tables import record
from fastener.preprocessing.pipeline import Preprocessor


@dataclass(frozen=True)
class Job:
    """Hold what every actor needs: the model, its network's weights (None = no network), settings and flags."""

    model: Shipped
    weights: Shipped | None
    registered: Registered
    config: Config
    tag: str
    pictures: bool


@dataclass(frozen=True)
class Scored:
    """One image's entry of the results, and its pictures as PNG by prefix (``det``, ``overlay``) where asked."""

    record: dict[str, Any]
    pictures: dict[str, bytes]


def score(
    shards: Sequence[Shard], job: Job, workers: Workers, warn: Callable[[str], None]
) -> Iterator[tuple[Shard, list[Scored]]]:
    """Each shard with its results in the order of its images; shards come as they are done.

    ``warn`` is told of workers that died and were replaced. Raises UserError if workers die again and again over the
    same images.
    """
    _quiet()
    rows = [{"shard": at, "images": pickle.dumps(shard.images)} for at, shard in enumerate(shards)]
    readers = workers.cpus if workers.gpus else workers.count
    read = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        _Reader(job.config), num_cpus=ray_engine.NO_CPU, compute=ray.data.TaskPoolStrategy(size=max(1, readers))
    )
    with warnings.catch_warnings():
        # Ray 2.64 will name this option elsewhere; without it, photos that kill their worker are tried for ever.
        warnings.simplefilter("ignore")
        scored = read.map(
            _Scorer,
            fn_constructor_args=(job, workers.cores),
            num_cpus=1 if workers.gpus else workers.cores,
            num_gpus=workers.gpus,
            # Where a node is lost, the pool goes on with what is left.
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers.count, initial_size=workers.count),
            max_task_retries=ray_engine.RETRIES,
        )
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    for row in scored.iter_rows():
        shard = shards[row["shard"]]
        if row["again"]:
            repeated = f"{len(shard.images)} images from {shard.images[0]} on were inspected again"
            warn(f"a worker died; {repeated}, and none is lost")
        yield shard, pickle.loads(row["scored"])


class _Reader:
    """Reads and prepares the images of one shard; rows travel between processes of this run as pickles."""

    def __init__(self, config: Config):
        self.config = config

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        preprocessor = Preprocessor(self.config.preprocess)
        run = self.config.run
        loaded = ahead(
            lambda name: load_named(name, preprocessor), pickle.loads(row["images"]), run.workers, 2 * run.batch_size
        )
        return {**row, "loaded": pickle.dumps(list(loaded))}


class _Scorer:
    """Holds the Inspector, and scores shards."""

    def __init__(self, job: Job, cores: int):
        ray_engine.use_cores(cores)
        job.registered.register()
        self.job = job
        with local_copy(job.model) as model, local_copy(job.weights) as weights:
            assert model is not None
            self.inspector = Inspector.load(model, job.config.run.device, weights=weights, run=job.config.run)
        # A new actor in the place of one that died begins with the shard that was lost.
        self.again = bool(ray.get_runtime_context().was_current_actor_reconstructed)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        results = [
            result
            for batch in batches(pickle.loads(row["loaded"]), self.job.config.run.batch_size)
            for result in self.inspector.inspect_loaded(batch)
        ]
        scored = []
        for name, result in zip(pickle.loads(row["images"]), results, strict=True):
            entry = {**record(result, is_baseline(Path(name), self.job.tag)), "path": name}
            pictures = _pictures(name, result) if self.job.pictures and isinstance(result, Inspection) else {}
            scored.append(Scored(entry, pictures))
        again, self.again = self.again, False
        return {"shard": row["shard"], "scored": pickle.dumps(scored), "again": again}


def _pictures(name: str, result: Inspection) -> dict[str, bytes]:
    photo = shrunk(read_named(name), PREVIEW_SIDE)
    return {"det": png(detection_picture(photo, result)), "overlay": png(overlay_picture(photo, result))}


def _quiet() -> None:
    """The run shows its own progress."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
