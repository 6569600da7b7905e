"""A PatchCore whose network is one drawn convolution, and photos of one texture for it."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from fastener.models.feature_extractor import FeatureExtractor
from fastener.models.patchcore import PatchCore


class Tiny(nn.Module):
    """A random convolution and its coarser copy: 8 and 12 channels, strides 8 and 16."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.fine = nn.Parameter(torch.randn(8, 3, 8, 8, generator=generator) / 8)
        self.coarse = nn.Parameter(torch.randn(12, 8, 2, 2, generator=generator))

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        fine = nn.functional.conv2d(images, self.fine, stride=8).abs()
        return [fine, nn.functional.conv2d(fine, self.coarse, stride=2)]


def photos(n: int, height: int = 32, width: int = 48, seed: int = 0) -> np.ndarray:
    """One grey texture with noise on it, so that patches at one place resemble each other."""
    generator = np.random.default_rng(seed)
    base = np.random.default_rng(99).integers(40, 216, (1, height, width, 3))
    return np.clip(base + generator.normal(0, 12, (n, height, width, 3)), 0, 255).astype(np.uint8)


def model(ratio: float = 0.3, b: int = 4, sigma: float = 0.0, colour_weight: float = 0.0) -> PatchCore:
    extractor = FeatureExtractor(Tiny(), colour_weight=colour_weight)
    return PatchCore(extractor, coreset_ratio=ratio, num_neighbors=b, smoothing_sigma=sigma)
