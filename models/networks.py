"""Feature networks of torchvision."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from fastener.models.cut_network import CutNetwork, is_module, keep_outputs, require_positions, unknown_layer

# Held while torch.fx traces a network, for which it changes nn.Module in all threads. Where a network may be loaded
# while another is computed, hold it while computing.
TRACING = threading.Lock()


def torchvision_network(name: str, layers: Sequence[str]) -> nn.Module:
    """Build a network of torchvision without its weights, cut behind ``layers``.

    Raises UserError for a layer that does not exist or keeps no positions.
    """
    from torchvision.models import get_model

    network = get_model(name, weights=None).eval()
    if all(is_module(network, layer) for layer in layers):
        cut = CutNetwork(network, layers, name=name, foldable=True)
        if cut.straight:
            return cut
        network = get_model(name, weights=None).eval()
    return _traced(network, layers, name)


class _Traced(nn.Module):
    """The graph of a network, whose nodes are called by torchvision's names; tensors keep their own."""

    def __init__(self, graph: nn.Module):
        super().__init__()
        self._modules, self._parameters, self._buffers = graph._modules, graph._parameters, graph._buffers
        object.__setattr__(self, "_graph", graph)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return list(cast(nn.Module, self._graph)(images).values())


def _traced(network: nn.Module, layers: Sequence[str], name: str) -> nn.Module:
    """Cut behind operations that are no modules, such as "layer2.0.add". Other threads' networks wait, see TRACING."""
    from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

    with TRACING:
        nodes = get_graph_node_names(network)[1]
    known = {".".join(node.split(".")[:n]) for node in nodes for n in range(1, node.count(".") + 2)}
    for layer in layers:
        if layer not in known:
            raise unknown_layer(network, layer, name)
    keep_outputs(network)
    with TRACING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = create_feature_extractor(network, return_nodes={layer: layer for layer in layers})
    for layer, output in graph(torch.zeros(1, 3, 64, 64)).items():
        require_positions(output, layer, name)
    return _Traced(graph)
