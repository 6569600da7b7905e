"""Run anomalib's PatchCore by a Python that has it: ``pip install anomalib``.

A plain loop drives its parts, without its trainer, loggers and checkpoints, so this is faster than for its users.
Each pick of its selection takes the same time. With ``picks``, only this number of picks is made, and the time of the
others is extrapolated.
"""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from anomalib.data.utils import read_image
from anomalib.models.components import KCenterGreedy
from anomalib.models.image.patchcore import torch_model
from anomalib.models.image.patchcore.lightning_model import Patchcore
from protocol import answer
from torch.utils.data import DataLoader, Dataset
from torchvision.models import get_model

BATCH = 32  # anomalib's default


class Timed(KCenterGreedy):
    """anomalib's selection, which may stop early and records the time of each pick."""

    limit: int | None = None
    last: Timed

    def __init__(self, embedding: torch.Tensor, sampling_ratio: float) -> None:
        super().__init__(embedding, sampling_ratio)
        self.asked = int(len(embedding) * sampling_ratio)
        self.coreset_size = min(self.asked, self.limit or self.asked)
        self.moments: list[float] = []
        self.picks: list[int] = []
        Timed.last = self

    def get_new_idx(self) -> torch.Tensor:
        self.moments.append(time.perf_counter())
        return super().get_new_idx()

    def select_coreset_idxs(self) -> list[int]:
        self.picks = super().select_coreset_idxs()
        return self.picks

    def seconds_left(self) -> float:
        """Estimate the seconds of the picks that were not made."""
        if self.asked == self.coreset_size:
            return 0.0
        return (self.asked - self.coreset_size) * float(np.median(np.diff(self.moments)))


class Photos(Dataset[torch.Tensor]):
    """Image files, read and prepared as anomalib does: a crop of 224 px from 256 px."""

    def __init__(self, files: list[str]):
        self.files = files
        self.prepare = Patchcore.configure_pre_processor((256, 256), (224, 224)).transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        prepared: torch.Tensor = self.prepare(read_image(self.files[index], as_tensor=True))
        return prepared


def coreset(features: str, keep: int, indices: str, picks: int | None = None) -> dict[str, Any]:
    """Pick ``keep`` rows of the array in the file ``features``, and write their indices to the file ``indices``."""
    rows = torch.from_numpy(np.load(features)).float()
    Timed.limit = picks
    start = time.perf_counter()
    sampler = Timed(rows, (keep + 0.5) / len(rows))
    chosen = sampler.select_coreset_idxs()
    seconds = time.perf_counter() - start
    np.save(indices, np.array(chosen))
    return {"seconds": seconds + sampler.seconds_left(), "estimated": len(chosen) < keep}


def fit(images: list[str], weights: str, keep: float, picks: int | None = None, workers: int = 2) -> dict[str, Any]:
    """Fit from image files."""
    model = network(weights).train()
    Timed.limit = picks
    torch_model.KCenterGreedy = Timed
    start = time.perf_counter()
    for batch in DataLoader(Photos(images), BATCH, num_workers=workers):
        model(batch)
    reading = time.perf_counter() - start
    model.subsample_embedding(keep)
    seconds = time.perf_counter() - start + Timed.last.seconds_left()
    return {
        "seconds": seconds,
        "stages": {"reading": reading, "coreset": seconds - reading},
        "estimated": Timed.last.seconds_left() > 0,
    }


def inspect(images: list[str], weights: str, bank: str, batch: int, warm_up: int = 3) -> dict[str, Any]:
    """Inspect image files, ``batch`` at a time, with scores and maps, by the bank in the file ``bank``."""
    model = network(weights).eval()
    model.memory_bank = torch.from_numpy(np.load(bank))
    photos = Photos(images)
    seconds, scores = [], []
    with torch.inference_mode():
        for at in range(0, len(images) - batch + 1, batch):
            start = time.perf_counter()
            result = model(torch.stack([photos[at + i] for i in range(batch)]))
            result.anomaly_map.numpy()
            scores += result.pred_score.tolist()
            seconds.append(time.perf_counter() - start)
    return {"seconds": seconds[warm_up:], "scores": scores}


def network(weights: str) -> torch_model.PatchcoreModel:
    """Build anomalib's model on torchvision's ResNet-18 with the weights in a file."""
    backbone = get_model("resnet18", weights=None).eval()
    backbone.load_state_dict(torch.load(weights, weights_only=True), strict=False)
    return torch_model.PatchcoreModel(["layer2", "layer3"], backbone, pre_trained=False, num_neighbors=9)


if __name__ == "__main__":
    versions = f"anomalib {version('anomalib')}, torch {torch.__version__}"
    answer({"coreset": coreset, "fit": fit, "inspect": inspect}, versions)
