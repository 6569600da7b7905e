"""Random projection: fewer numbers a vector, distances kept in expectation (Johnson and Lindenstrauss 1984)."""

from __future__ import annotations

import numpy as np
import torch

from fastener.models.runtime.feature_store import FeatureStore, chunks


def gaussian_projection(channels: int, dim: int, seed: int) -> torch.Tensor:
    """A matrix float32 (channels, dim) of Gaussian numbers drawn from ``seed``, scaled to keep distances."""
    matrix = np.random.default_rng(seed).standard_normal((channels, dim)) / np.sqrt(dim)
    return torch.from_numpy(matrix.astype(np.float32))


def store_projected(rows: torch.Tensor, projection: torch.Tensor, memory_limit: int) -> FeatureStore:
    """``rows`` (n, c) times ``projection`` (c, d), a chunk at a time, kept like the features themselves."""
    store = FeatureStore(memory_limit)
    for chunk in chunks(rows):
        store.append((chunk.float() @ projection)[:, None, None])
    return store
