"""Run this project as its peers are run: one process for each task."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from protocol import answer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fastener.config import Config, load_config
from fastener.inspection.inspector import Inspector
from fastener.models.coreset import greedy_coreset

ROOT = Path(__file__).resolve().parents[2]
# The settings of the peers: a crop of 224 px from 256 px, layers 2 and 3, all 384 channels, nine neighbours.
LIKE_PEERS = ("model.backbone=resnet18", "model.target_dim=null", "evidence=[cnn]")


class StageClock:
    """A progress callback that records when each stage began and ended."""

    def __init__(self) -> None:
        self.spans: dict[str, tuple[float, float]] = {}

    def __call__(self, items: Iterable[Any], total: int, label: str) -> Iterator[Any]:
        start = time.perf_counter()
        yield from items
        self.spans[label] = (start, time.perf_counter())

    def stages(self, start: float) -> dict[str, float]:
        """Compute the seconds of each stage. Reading ends where selection begins, after the last batch is computed."""
        seconds = {label: end - began for label, (began, end) in self.spans.items()}
        return {**seconds, "reading": self.spans["coreset"][0] - start}


def coreset(features: str, keep: int, indices: str, projection: int | None = None) -> dict[str, Any]:
    """Pick ``keep`` rows of the array in the file ``features``, and write their indices to the file ``indices``."""
    rows = torch.from_numpy(np.load(features))
    start = time.perf_counter()
    if projection is not None:
        from fastener.models.random_projection import gaussian_projection

        rows = rows.float() @ gaussian_projection(rows.shape[1], projection, 0)
    picks = greedy_coreset(rows, keep)
    seconds = time.perf_counter() - start
    np.save(indices, picks.indices)
    return {"seconds": seconds}


def fit(
    images: list[str], weights: str, keep: float | None, model: str | None = None, assignments: list[str] | None = None
) -> dict[str, Any]:
    """Fit from image files, and save the inspector as ``model``; ``keep`` None leaves the bank's size to the rule."""
    clock = StageClock()
    config = config_of(keep, assignments or [])
    start, cpu_start = time.perf_counter(), time.process_time()
    inspector = Inspector.fit([Path(image) for image in images], config, weights=Path(weights), progress=clock)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    bank = inspector.evidence["cnn"].state()["bank"]
    if model is not None:
        inspector.save(Path(model))
        np.save(Path(model).with_suffix(".npy"), bank.numpy())
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "stages": clock.stages(start), "bank": list(bank.shape)}


def inspect(images: list[str], weights: str, model: str, batch: int, warm_up: int = 3) -> dict[str, Any]:
    """Inspect image files, ``batch`` at a time, and return the seconds of each batch after ``warm_up`` batches."""
    inspector = Inspector.load(model, "cpu", weights=Path(weights), run=config_of(0.1, [f"run.batch_size={batch}"]).run)
    seconds, scores = [], []
    for at in range(0, len(images) - batch + 1, batch):
        start = time.perf_counter()
        results = inspector.inspect([Path(image) for image in images[at : at + batch]])
        seconds.append(time.perf_counter() - start)
        scores += [result.score for result in results if not hasattr(result, "error")]
    return {"seconds": seconds[warm_up:], "scores": scores}


def config_of(keep: float | None, assignments: list[str]) -> Config:
    """Load the settings of the peers, with ``assignments`` on top."""
    return load_config(
        ROOT / "configs" / "mvtec_paper.yaml",
        [*LIKE_PEERS, f"model.coreset_ratio={'null' if keep is None else keep}", "run.device=cpu", *assignments],
    )


if __name__ == "__main__":
    # torchvision is loaded late by the library, but here before the clock starts, as in the scripts of the peers.
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    answer({"coreset": coreset, "fit": fit, "inspect": inspect}, versions)
