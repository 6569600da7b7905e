"""The extractor of a pretrained network, from a file of its weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from fastener.models.backbones import Backbone
from fastener.models.cut_network import CutNetwork
from fastener.models.feature_extractor import FeatureExtractor
from fastener.models.random_projection import gaussian_projection
from fastener.models.runtime.weights import checksum, load_weights


def cnn_extractor(
    backbone: Backbone,
    weights: Path,
    layers: tuple[str, ...] | None = None,
    *,
    patch_size: int = 3,
    target_dim: int | None = None,
    colour_weight: float = 0.0,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> tuple[FeatureExtractor, str]:
    """Build the extractor of a pretrained network, and compute the checksum of the weights that it uses.

    ``layers`` None means the backbone's default ones. ``target_dim`` projects with a Gaussian matrix drawn from
    ``seed``, see models/random_projection.py. Raises UserError for unknown layers and for weights that do not fit.
    """
    network = build_network(backbone, layers or backbone.layers, weights)
    digest = checksum(network.state_dict())
    if isinstance(network.trunk, CutNetwork):
        network.trunk.fold_batch_norms()
    extractor = FeatureExtractor(network, patch_size, border=backbone.border, device=device, dtype=dtype)
    if target_dim is not None:
        channels = extractor(np.zeros((1, 224, 224, 3), np.uint8)).shape[-1]
        if target_dim < channels:
            extractor.projection = gaussian_projection(channels, target_dim, seed)
    extractor.colour_weight = colour_weight
    return extractor, digest


def build_network(backbone: Backbone, layers: tuple[str, ...], weights: Path | None) -> NormalisedNetwork:
    """Build the part of a network up to the last of ``layers``; without a file of ``weights`` they are random.

    Raises UserError for unknown layers and for weights that do not fit.
    """
    assert backbone.build is not None, f"{backbone.name} is no network"
    trunk = backbone.build(layers)
    if weights is not None:
        load_weights(trunk, weights, backbone.name, rename=backbone.rename)
    return NormalisedNetwork(trunk, mean=backbone.mean, std=backbone.std)


class NormalisedNetwork(nn.Module):
    """Normalise RGB with the statistics that a network was trained with; return the maps of its layers as a list.

    Parameters
    ----------
    trunk : torch.nn.Module
        Maps normalised RGB (n, 3, H, W) to one map (n, c, h, w) or several.
    mean, std : tuple of float
        Of each channel, for RGB in 0 to 1.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, trunk: nn.Module, *, mean: tuple[float, ...], std: tuple[float, ...]):
        super().__init__()
        self.trunk = trunk
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """RGB (n, 3, H, W) in 0 to 1 -> the maps of the layers, each (n, c, h, w)."""
        maps = self.trunk((images - self.mean) / self.std)
        return [maps] if isinstance(maps, torch.Tensor) else list(maps)
