"""Train the models of many categories side by side, each on one worker of a Ray cluster."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ray

from fastener.common.errors import UserError
from fastener.config import Config
from fastener.distributed.ray_engine import DIED, RETRIES, Shipped, Workers, local_copy, use_cores
from fastener.distributed.registered import Registered
from fastener.inspection.choice import Choice
from fastener.inspection.inspector import Inspector


@dataclass(frozen=True)
class Trained:
    """One category's model: the content of its file and what it is, in words; or why there is none."""

    name: str
    model: bytes
    text: str
    error: str = ""


def train_side_by_side(
    photos: Mapping[str, Sequence[Path]], config: Config, choice: Choice, workers: Workers
) -> Iterator[Trained]:
    """``Inspector.fit`` for each category, in the order in which they are done; one that fails stops no other.

    ``choice`` is what this machine made of ``config``: workers use its weights.
    """
    # A worker that has weights of its own must not make another model than this machine would.
    config = config.model_copy(update={"model": config.model.model_copy(update={"backbone": choice.backbone})})
    registered = Registered.of(choice.kinds, choice.backbone)
    weights = None if choice.weights is None else Shipped.of(choice.weights)
    task = _train.options(num_cpus=1 if workers.gpus else workers.cores, num_gpus=workers.gpus, max_retries=RETRIES)
    waiting = {
        task.remote(category, [path.absolute() for path in paths], config, weights, registered, workers.cores): category
        for category, paths in photos.items()
    }
    while waiting:
        (done,), _ = ray.wait(list(waiting), num_returns=1)
        category = waiting.pop(done)
        try:
            yield ray.get(done)
        except DIED:
            yield Trained(category, b"", "", f"{category}: its worker died again and again, as when out of memory")


@ray.remote
def _train(
    category: str,
    photos: Sequence[Path],
    config: Config,
    weights: Shipped | None,
    registered: Registered,
    cores: int,
) -> Trained:
    use_cores(cores)
    registered.register()
    with local_copy(weights) as file, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pkl"
        try:
            inspector = Inspector.fit(photos, config, weights=file)
            inspector.save(path)
        except UserError as error:
            return Trained(category, b"", "", f"{category}: {error}")
        return Trained(category, path.read_bytes(), inspector.describe())
