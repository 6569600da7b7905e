"""How much arithmetic a task cannot do without, in FLOP; a multiplication and an addition are two."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from models.feature_extractor import FeatureExtractor


def network_flop(extractor: FeatureExtractor, size: tuple[int, int]) -> float:
    """One image of ``size`` (H, W) through the network of ``extractor``."""
    image = torch.zeros((1, 3, *size), device=extractor.device, dtype=extractor.dtype)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        extractor.network(image)
    return float(counter.get_total_flops())


def distances_flop(rows: int, others: int, dim: int) -> float:
    """Every distance between ``rows`` and ``others``: a greedy selection needs those of all rows to all picks."""
    return 2.0 * rows * others * dim
