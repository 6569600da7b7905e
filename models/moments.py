"""Mean and standard deviation of features, from parts that lie in different places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fastener.models.runtime.feature_store import chunks


@dataclass(frozen=True)
class Moments:
    """Of each channel of ``count`` rows: ``mean`` and ``squares``, the sum of squared deviations; float64 (c,).

    ``products``: the sums of products of the deviations of two channels, float64 (c, c); None if not asked for.
    """

    count: int
    mean: torch.Tensor
    squares: torch.Tensor
    products: torch.Tensor | None = None

    @classmethod
    def of(cls, features: torch.Tensor, together: bool = False) -> Moments:
        """Of features (n, c) in any precision, read in chunks; ``together`` asks for how channels vary together."""
        total = sum(chunk.sum(0, dtype=torch.float64) for chunk in chunks(features))
        mean = torch.as_tensor(total / len(features))
        if not together:
            squares = sum((chunk.double() - mean).square().sum(0) for chunk in chunks(features))
            return cls(len(features), mean, torch.as_tensor(squares))
        products = torch.zeros(len(mean), len(mean), dtype=torch.float64)
        for chunk in chunks(features):
            deviations = chunk.float() - mean.float()
            products += deviations.T @ deviations
        return cls(len(features), mean, products.diagonal().clone(), products)

    @classmethod
    def join(cls, parts: Sequence[Moments]) -> Moments:
        """Of all parts together (Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm")."""
        count = sum(part.count for part in parts)
        mean = torch.stack([part.mean * part.count for part in parts]).sum(0) / count
        between = [part.count * (part.mean - mean).square() for part in parts]
        squares = torch.stack([part.squares for part in parts] + between).sum(0)
        within = [part.products for part in parts if part.products is not None]
        if len(within) < len(parts):
            return cls(count, mean, squares)
        outer = [part.count * torch.outer(part.mean - mean, part.mean - mean) for part in parts]
        return cls(count, mean, squares, torch.stack(within + outer).sum(0))

    def without(self, part: Moments) -> Moments:
        """Of the other rows: those of ``part`` were among these, and how channels vary together is known of both."""
        count = self.count - part.count
        mean = (self.mean * self.count - part.mean * part.count) / count
        gap = part.mean - mean
        if self.products is None or part.products is None:
            raise ValueError("how channels vary together was not asked for")
        products = self.products - part.products - torch.outer(gap, gap) * (count * part.count / self.count)
        return Moments(count, mean, products.diagonal().clone(), products)

    @property
    def std(self) -> torch.Tensor:
        """Standard deviation, divided by n - 1."""
        return (self.squares / (self.count - 1)).sqrt()

    @property
    def covariance(self) -> torch.Tensor:
        """Covariance (c, c), divided by n - 1. Raises ValueError unless it was asked for."""
        if self.products is None:
            raise ValueError("how channels vary together was not asked for")
        return self.products / (self.count - 1)
