"""Gaussians of healthy features, one at each place or one of the whole image, and distances from them.

PaDiM (Defard et al., "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and Localization", ICPR
workshops 2021) has one at each place of the photo; Rippel et al. ("Modeling the Distribution of Normal Data in
Pre-Trained Deep Features for Anomaly Detection", ICPR 2020) have one of the pooled features of a layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Gaussians:
    """Hold p Gaussians over d numbers whose covariance is ``weight`` * scatter / (n - ddof) + ``ridge`` * identity.

    Parameters
    ----------
    count : int
        Number n of images behind them.
    mean : float64 (p, d)
        Mean of each.
    scatter : float64 (p, d, d)
        Sum of the outer products of deviations from the mean.
    ridge : float
        Added to every variance, above 0.
    weight : float
        Share of the sample covariance, 0 to 1.
    ddof : int
        1 divides the scatter by n - 1, and by at least 1.
    """

    count: int
    mean: torch.Tensor
    scatter: torch.Tensor
    ridge: float
    weight: float = 1.0
    ddof: int = 1

    @classmethod
    def of(cls, features: torch.Tensor, ridge: float, **more: Any) -> Gaussians:
        """Fit to features (n, p, d), a few places at a time."""
        means, scatters = [], []
        for chunk in features.split(64, 1):
            wide = chunk.double()
            centred = (wide - wide.mean(0)).transpose(0, 1)
            means.append(wide.mean(0))
            scatters.append(centred.transpose(1, 2) @ centred)
        return cls(len(features), torch.cat(means), torch.cat(scatters), ridge, **more)

    def joined(self, other: Gaussians) -> Gaussians:
        """Return the Gaussians of both sets of images, with the ridge and weight of this one."""
        count = self.count + other.count
        gap = other.mean - self.mean
        between = gap[:, :, None] * gap[:, None] * (self.count * other.count / count)
        mean, scatter = self.mean + gap * (other.count / count), self.scatter + other.scatter + between
        return Gaussians(count, mean, scatter, self.ridge, self.weight, self.ddof)

    def factors(self, left_out: int = 0) -> torch.Tensor:
        """Return W (p, d, d) such that the Mahalanobis distance of x is the length of W (x - mean).

        With ``left_out`` images W has the divisor of as many images fewer, for ``distances_unseen``.
        """
        scale = self._scale(self.count - left_out)
        identity = torch.eye(self.mean.shape[1], dtype=torch.float64)
        lower = torch.linalg.cholesky(scale * self.scatter + self.ridge * identity)
        return torch.as_tensor(torch.linalg.solve_triangular(lower, identity, upper=False))

    def distances(self, features: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
        """Compute Mahalanobis distances, float32 (n, p), of features (n, p, d); ``factors`` float32 or float64."""
        centred = features.to(factors.dtype) - self.mean.to(factors.dtype)
        return (factors @ centred.permute(1, 2, 0)).square().sum(1).sqrt().T.float()

    def distances_unseen(self, features: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
        """Compute the distances (k, p) of k images (k, p, d) as if these had not been among the n that were fitted.

        ``factors`` are those with ``left_out`` k. The left-out scatter is a downdate of rank k + 1, which the formula
        of Sherman, Morrison and Woodbury inverts.
        """
        k, n = len(features), self.count
        centred = (features.double() - self.mean).permute(1, 2, 0)
        middle = centred.mean(2, keepdim=True)
        removed = torch.cat([centred, middle * (k / (n - k) ** 0.5)], 2) * self._scale(n - k) ** 0.5
        spread = factors @ removed
        tests = factors @ (centred + middle * (k / (n - k)))
        core = torch.eye(k + 1, dtype=torch.float64) - spread.transpose(1, 2) @ spread
        across = spread.transpose(1, 2) @ tests
        more = (across * torch.linalg.solve(core, across)).sum(1)
        squared: torch.Tensor = tests.square().sum(1) + more
        return squared.clamp_min(0).sqrt().T.float()

    def state(self) -> dict[str, Any]:
        """Return what ``from_state`` takes back."""
        return dict(vars(self))

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Gaussians:
        """Restore Gaussians from their ``state``."""
        return cls(**state)

    def _scale(self, count: int) -> float:
        return self.weight / max(count - self.ddof, 1)
