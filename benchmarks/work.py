"""Count the least arithmetic that a task needs, in FLOP; a multiplication and an addition count as two."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from fastener.inspection.evidence import StructureEvidence
from fastener.inspection.inspector import Inspector
from fastener.models.backbones import BACKBONES
from fastener.models.feature_extractor import FeatureExtractor
from fastener.models.runtime.cnn import build_network
from fastener.models.runtime.onnx_network import OnnxNetwork


def network_flop(extractor: FeatureExtractor, size: tuple[int, int]) -> float:
    """Count the operations of the network of ``extractor`` for one image of ``size`` (H, W)."""
    image = torch.zeros((1, 3, *size), device=extractor.device, dtype=extractor.dtype)
    # With gradients, which no weight asks for, convolutions are those that the counter knows.
    with FlopCounterMode(display=False) as counter, torch.enable_grad():
        extractor.network(image)
    return float(counter.get_total_flops())


def inspection_flop(inspector: Inspector) -> float:
    """Count the operations for one image: all networks, and the distances of its patches to every row of the banks."""
    side = inspector.config.preprocess.size
    size = (side, side) if isinstance(side, int) else side
    total = 0.0
    for evidence in inspector.evidence.values():
        if isinstance(evidence, StructureEvidence):
            bank = evidence.patchcore.bank_.features
            patches = evidence.extractor(np.zeros((1, *size, 3), np.uint8))[0, ..., 0].numel()
            total += distances_flop(patches, *bank.shape)
            total += network_flop(_in_torch(evidence), size)
    return total


def _in_torch(evidence: StructureEvidence) -> FeatureExtractor:
    """Build the same network in torch, because ONNX Runtime cannot count its operations."""
    if not isinstance(evidence.extractor.network, OnnxNetwork):
        return evidence.extractor
    backbone = BACKBONES[evidence.setup.backbone]
    return FeatureExtractor(build_network(backbone, evidence.setup.config.model.layers or backbone.layers, None))


def distances_flop(rows: int, others: int, dim: int) -> float:
    """Count the operations for all distances between ``rows`` and ``others``, vectors of length ``dim``.

    A greedy selection needs the distances of all rows to all picks.
    """
    return 2.0 * rows * others * dim
