"""Train the models of many categories side by side, each on one worker of a Ray cluster."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fastener.common.errors import UserError
from fastener.config import Config
from fastener.distributed.ray_engine import Workers
from fastener.distributed.registered import Registered
from fastener.distributed.side_by_side import side_by_side
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
    photos: Mapping[str, Sequence[Path]],
    config: Config,
    choice: Choice,
    workers: Workers,
    warn: Callable[[str], None],
) -> Iterator[Trained]:
    """``Inspector.fit`` for each category, in the order in which they are done; one that fails stops no other.

    ``choice`` is what this machine made of ``config``: workers use its weights. ``warn`` is told of workers that died.
    """
    # A worker that has weights of its own must not make another model than this machine would.
    config = config.model_copy(update={"model": config.model.model_copy(update={"backbone": choice.backbone})})
    registered = Registered.of(choice.kinds, choice.backbone)
    work = {
        name: partial(_train, name, [path.absolute() for path in paths], config, registered)
        for name, paths in photos.items()
    }
    for name, done in side_by_side(work, choice.weights, workers, warn):
        yield Trained(name, b"", "", f"{name}: {done}") if isinstance(done, UserError) else done


def _train(
    category: str, photos: Sequence[Path], config: Config, registered: Registered, weights: Path | None
) -> Trained:
    registered.register()
    inspector = Inspector.fit(photos, config, weights=weights)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pkl"
        inspector.save(path)
        return Trained(category, path.read_bytes(), inspector.describe())
