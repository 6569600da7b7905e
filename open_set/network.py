"""Cut a network into stages: the first stages stay frozen, and the last stages may learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from fastener.models.backbones import BACKBONES
from fastener.models.runtime.weights import load_weights
from fastener.open_set.settings import STAGES

_LITE0_CUTS = (2, 3, 5, 6)


class StagedNetwork(nn.Module):
    """Embed images: the joined mean activations of ``layers`` are the embedding.

    Images go through ``frozen_part`` and then through ``trained_part``. If only the second learns, the outputs of the
    first can be kept. Raises UserError for weights that do not fit.

    Parameters
    ----------
    backbone
        Name of the network: one of torchvision's ResNets, or efficientnet_lite0.
    layers
        Stages whose mean activations are joined; the network ends after the last of them.
    trained_from
        First stage that learns; "images" if all stages learn, None if no stage learns.
    weights
        File of weights; without it, the weights are drawn from ``seed``.
    seed
        Seed of random weights.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, backbone: str, layers: tuple[str, ...], *, trained_from: str | None, weights: Path | None, seed: int
    ):
        super().__init__()
        used = STAGES[: max(STAGES.index(layer) for layer in layers) + 1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            stem, *stages = (_lite0_parts if backbone == "efficientnet_lite0" else _resnet_parts)(
                backbone, used, weights
            )
        self.layers = layers
        self.stem = stem
        self.stages = nn.ModuleDict(dict(zip(used, stages, strict=True)))
        cut = {"images": -1, None: len(used)}
        self._cut = cut[trained_from] if trained_from in cut else used.index(str(trained_from))
        self.register_buffer("mean", torch.tensor(BACKBONES[backbone].mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(BACKBONES[backbone].std)[:, None, None], persistent=False)
        self.eval().requires_grad_(False)
        for module in self.trained():
            module.requires_grad_(True)

    def trained(self) -> list[nn.Module]:
        """List the modules that learn."""
        stages = [stage for place, stage in enumerate(self.stages.values()) if place >= self._cut]
        return [self.stem, *stages] if self._cut < 0 else stages

    def frozen_part(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the frozen stages: RGB (n, 3, H, W) in [0, 1] -> maps (n, c, h, w), start of the embedding (n, d)."""
        x = (images - self.mean) / self.std
        if self._cut < 0:
            return x, x.new_empty(len(x), 0)
        maps, pooled = self._through(self.stem(x), 0, self._cut)
        return maps if self._cut < len(self.stages) else maps.new_empty(len(x), 0), pooled

    def trained_part(self, maps: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        """Run the stages that learn: outputs of ``frozen_part`` -> embeddings (n, d), in the order of the stages."""
        x = self.stem(maps) if self._cut < 0 else maps
        return torch.cat([pooled, self._through(x, max(self._cut, 0), len(self.stages))[1]], 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Embed images: RGB (n, 3, H, W) in [0, 1] -> (n, d)."""
        return self.trained_part(*self.frozen_part(images))

    def _through(self, x: torch.Tensor, first: int, last: int) -> tuple[torch.Tensor, torch.Tensor]:
        pooled = [x.new_empty(len(x), 0)]
        for name, stage in list(self.stages.items())[first:last]:
            x = stage(x)
            if name in self.layers:
                pooled.append(x.mean((2, 3)))
        return x, torch.cat(pooled, 1)


def _resnet_parts(backbone: str, used: tuple[str, ...], weights: Path | None) -> list[nn.Module]:
    """Build the stem and the ``used`` stages of a ResNet; a file of weights need not hold more than these."""
    from torchvision.models import get_model

    full = get_model(backbone, weights=None)
    for name in ("fc", *STAGES[len(used) :]):
        setattr(full, name, nn.Identity())
    if weights is not None:
        load_weights(full, weights, backbone)
    return [nn.Sequential(full.conv1, full.bn1, full.relu, full.maxpool), *(getattr(full, name) for name in used)]


def _lite0_parts(backbone: str, used: tuple[str, ...], weights: Path | None) -> list[nn.Module]:
    """Build the stem and the ``used`` stages of EfficientNet-Lite0, each up to the widest tensor of its resolution.

    The expanded tensors carry more than the narrow tensors between the blocks. They lie inside the first blocks of
    timm's stages 2, 3, 5 and 6, which have no way round them.
    """
    from fastener.models.efficientnet_lite import whole_lite0

    full: Any = whole_lite0()
    if weights is not None:
        load_weights(full, weights, backbone, rename=BACKBONES[backbone].rename)
    parts: list[list[nn.Module]] = [[full.conv_stem, full.bn1], []]
    for number, blocks in enumerate(full.blocks):
        for place, block in enumerate(blocks):
            if place == 0 and number in _LITE0_CUTS:
                parts[-1] += [block.conv_pw, block.bn1]
                parts.append([block.conv_dw, block.bn2, block.conv_pwl, block.bn3])
            else:
                parts[-1].append(block)
    return [nn.Sequential(*part) for part in parts[: 1 + len(used)]]


def as_square(photo: np.ndarray, side: int) -> np.ndarray:
    """Resize uint8 RGB (H, W, 3) to (side, side, 3). Pixels are averaged to shrink, so that texture does not alias."""
    how = cv2.INTER_AREA if side < min(photo.shape[:2]) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(photo, (side, side), interpolation=how), np.uint8)


def as_tensor(images: np.ndarray, device: torch.device) -> torch.Tensor:
    """Convert uint8 RGB (n, H, W, 3) to float32 (n, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2).float() / 255
