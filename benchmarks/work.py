"""How much arithmetic a task cannot do without, in FLOP; a multiplication and an addition are two."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from fastener.inspection.evidence import StructureEvidence
from fastener.inspection.inspector import Inspector
from fastener.models.backbones import BACKBONES
from fastener.models.feature_extractor import FeatureExtractor, build_network
from fastener.models.runtime.onnx_network import OnnxNetwork


def network_flop(extractor: FeatureExtractor, size: tuple[int, int]) -> float:
    """One image of ``size`` (H, W) through the network of ``extractor``."""
    image = torch.zeros((1, 3, *size), device=extractor.device, dtype=extractor.dtype)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        extractor.network(image)
    return float(counter.get_total_flops())


def inspection_flop(inspector: Inspector) -> float:
    """One image through the networks of its evidence, and its patches to every row of their banks."""
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
    """Features by the same network; ONNX Runtime does not tell what it computes."""
    if not isinstance(evidence.extractor.network, OnnxNetwork):
        return evidence.extractor
    backbone = BACKBONES[evidence.setup.backbone]
    return FeatureExtractor(build_network(backbone, evidence.setup.config.model.layers or backbone.layers, None))


def distances_flop(rows: int, others: int, dim: int) -> float:
    """Every distance between ``rows`` and ``others``: a greedy selection needs those of all rows to all picks."""
    return 2.0 * rows * others * dim
