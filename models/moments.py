"""Mean and standard deviation of features, from parts that lie in different places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from models.feature_store import chunks


@dataclass(frozen=True)
class Moments:
    """Of each channel of ``count`` rows: ``mean`` and ``squares``, the sum of squared deviations; float64 (c,)."""

    count: int
    mean: torch.Tensor
    squares: torch.Tensor

    @classmethod
    def of(cls, features: torch.Tensor) -> Moments:
        """Of features (n, c) in any precision, read in chunks."""
        total = sum(chunk.sum(0, dtype=torch.float64) for chunk in chunks(features))
        mean = torch.as_tensor(total / len(features))
        squares = sum((chunk.double() - mean).square().sum(0) for chunk in chunks(features))
        return cls(len(features), mean, torch.as_tensor(squares))

    @classmethod
    def join(cls, parts: Sequence[Moments]) -> Moments:
        """Of all parts together (Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm")."""
        count = sum(part.count for part in parts)
        mean = torch.stack([part.mean * part.count for part in parts]).sum(0) / count
        between = [part.count * (part.mean - mean).square() for part in parts]
        return cls(count, mean, torch.stack([part.squares for part in parts] + between).sum(0))

    @property
    def std(self) -> torch.Tensor:
        """Standard deviation, divided by n - 1."""
        return (self.squares / (self.count - 1)).sqrt()
