"""A ResNet cut into stages: the first ones stay as they are, the last ones may learn."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from fastener.models.backbones import BACKBONES
from fastener.models.runtime.weights import load_weights
from fastener.open_set.settings import STAGES


class StagedResNet(nn.Module):
    """A torchvision ResNet up to the last of ``layers``, whose mean activations, joined, are its embedding.

    Images go through ``front`` up to ``trained_from`` ("images": nothing, all stages learn; None: everything), and from
    there through ``back``; what lies between is worth keeping when only the back learns. Without ``weights`` the
    network is as torchvision draws it from ``seed``. Raises UserError for weights that do not fit.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, backbone: str, layers: tuple[str, ...], trained_from: str | None, weights: Path | None, seed: int
    ):
        super().__init__()
        from torchvision.models import get_model

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            full = get_model(backbone, weights=None)
        used = STAGES[: max(STAGES.index(layer) for layer in layers) + 1]
        for name in STAGES[len(used) :]:
            setattr(full, name, nn.Identity())
        full.fc = nn.Identity()
        if weights is not None:
            load_weights(full, weights, backbone)
        self.layers = layers
        self.stem = nn.Sequential(full.conv1, full.bn1, full.relu, full.maxpool)
        self.stages = nn.ModuleDict({name: getattr(full, name) for name in used})
        cut = {"images": -1, None: len(used)}
        self._cut = cut[trained_from] if trained_from in cut else used.index(str(trained_from))
        self.register_buffer("mean", torch.tensor(BACKBONES[backbone].mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(BACKBONES[backbone].std)[:, None, None], persistent=False)
        self.eval().requires_grad_(False)
        for module in self.trained():
            module.requires_grad_(True)

    def trained(self) -> list[nn.Module]:
        """The parts that learn."""
        stages = [stage for place, stage in enumerate(self.stages.values()) if place >= self._cut]
        return [self.stem, *stages] if self._cut < 0 else stages

    def front(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """RGB (n, 3, H, W) in [0, 1] -> maps (n, c, h, w), and the part of the embedding known by then (n, d)."""
        x = (images - self.mean) / self.std
        if self._cut < 0:
            return x, x.new_empty(len(x), 0)
        maps, pooled = self._through(self.stem(x), 0, self._cut)
        return maps if self._cut < len(self.stages) else maps.new_empty(len(x), 0), pooled

    def back(self, maps: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        """What ``front`` gave -> embeddings (n, d), the stages in order."""
        x = self.stem(maps) if self._cut < 0 else maps
        return torch.cat([pooled, self._through(x, max(self._cut, 0), len(self.stages))[1]], 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """RGB (n, 3, H, W) in [0, 1] -> embeddings (n, d)."""
        return self.back(*self.front(images))

    def _through(self, x: torch.Tensor, first: int, last: int) -> tuple[torch.Tensor, torch.Tensor]:
        pooled = [x.new_empty(len(x), 0)]
        for name, stage in list(self.stages.items())[first:last]:
            x = stage(x)
            if name in self.layers:
                pooled.append(x.mean((2, 3)))
        return x, torch.cat(pooled, 1)


def as_square(photo: np.ndarray, side: int) -> np.ndarray:
    """uint8 RGB (H, W, 3) -> (side, side, 3); averaged when it shrinks, so that fine texture does not alias."""
    how = cv2.INTER_AREA if side < min(photo.shape[:2]) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(photo, (side, side), interpolation=how), np.uint8)


def as_tensor(images: np.ndarray, device: torch.device) -> torch.Tensor:
    """uint8 RGB (n, H, W, 3) -> float32 (n, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2).float() / 255
