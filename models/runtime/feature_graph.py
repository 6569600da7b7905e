"""The features of a fitted extractor as an ONNX graph, for machines without torch.

Networks that run on ONNX have a graph of their own, which may be in int8. The graph that is made here does all the
rest: it takes the photo and the layers of that network. Filters are part of the graph, which then takes the photo only.
"""

from __future__ import annotations

import torch
from torch import nn

from fastener.models.feature_extractor import FeatureExtractor
from fastener.models.runtime.onnx_network import OnnxNetwork, exported

IMAGES = "images"


def feature_graph(extractor: FeatureExtractor, size: tuple[int, int]) -> torch.Tensor:
    """Export what ``extractor`` makes of one image of ``size`` (H, W): an ONNX graph, uint8 (n,).

    It maps RGB float32 (1, 3, H, W) in 0 to 1, for a network on ONNX followed by its layers (1, c, h, w), to features
    float32 (1, h, w, d). Shapes are fixed, which halves the time of the export.

    Raises UserError if a package is missing.
    """
    example = torch.zeros(1, 3, *size)
    if not isinstance(extractor.network, OnnxNetwork):
        return exported(_Filters(extractor).eval(), (example,), names=[IMAGES], shapes=None)
    layers = extractor.network(example)
    names = [IMAGES, *(f"layer{number + 1}" for number in range(len(layers)))]
    return exported(_Joined(extractor).eval(), (example, layers), names=names, shapes=None)


class _Joined(nn.Module):
    """Computes what an extractor does beyond its network."""

    def __init__(self, extractor: FeatureExtractor):
        super().__init__()
        self._extractor = extractor

    def forward(self, images: torch.Tensor, layers: list[torch.Tensor]) -> torch.Tensor:
        return self._extractor.joined(images, layers)


class _Filters(nn.Module):
    """Computes all that an extractor does."""

    def __init__(self, extractor: FeatureExtractor):
        super().__init__()
        self._extractor = extractor
        self.network = extractor.network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self._extractor.joined(images, self.network(images))
