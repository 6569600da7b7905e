"""A baseline that judges the whole image: one Gaussian of the pooled features of each layer.

Rippel, Mertens and Merhof, "Modeling the Distribution of Normal Data in Pre-Trained Deep Features for Anomaly
Detection", ICPR 2020 (published 2021); the shrinkage is that of Ledoit and Wolf, "A well-conditioned estimator for
large-dimensional covariance matrices", Journal of Multivariate Analysis 2004.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.covariance import ledoit_wolf_shrinkage

from fastener.models.feature_extractor import FeatureExtractor
from fastener.models.gaussians import Gaussians

_LEAST_VARIANCE = 1e-9  # where all images are the same


class PooledGaussian:
    """Average each layer over the image, and add the Mahalanobis distances of all layers.

    Nothing tells where an image is odd. Images are left out of mean and covariance exactly, but keep their part in the
    strength of the shrinkage.
    """

    gaussians_: list[Gaussians]

    def __init__(self, extractor: FeatureExtractor):
        self.extractor = extractor
        self._seen: list[list[torch.Tensor]] = []

    def collect_features(self, images: np.ndarray) -> None:
        """Take in healthy images, uint8 RGB (n, H, W, 3)."""
        self._seen.append(self._pooled(images))

    def fit_collected(self, groups: Sequence[int]) -> np.ndarray:
        """Learn from all images seen; return their scores, float32 (n,), as if each group (n,) had not been seen.

        Learning again adds images, and returns the scores of these. Raises ValueError without two different groups.
        """
        layers, self._seen = [torch.cat(parts) for parts in zip(*self._seen, strict=True)], []
        labels = np.asarray(groups)
        if hasattr(self, "gaussians_"):
            new = [Gaussians.of(layer, 0.0) for layer in layers]
            self.gaussians_ = [one.joined(more) for one, more in zip(self.gaussians_, new, strict=True)]
        elif len(np.unique(labels)) < 2:
            raise ValueError("leave-one-out scores need at least two different training images")
        else:
            self.gaussians_ = [_shrunk(layer) for layer in layers]
        self._factors = [one.factors() for one in self.gaussians_]
        total = np.zeros(len(labels), np.float32)
        for gaussians, layer in zip(self.gaussians_, layers, strict=True):
            factors: dict[int, torch.Tensor] = {}
            for group in np.unique(labels):
                members = torch.from_numpy(np.flatnonzero(labels == group))
                if len(members) not in factors:
                    factors = {len(members): gaussians.factors(len(members))}
                unseen = gaussians.distances_unseen(layer[members], factors[len(members)])
                total[members.numpy()] += unseen[:, 0].numpy()
        return total

    def score(self, images: np.ndarray) -> np.ndarray:
        """Score images, uint8 RGB (n, H, W, 3): float32 (n,)."""
        parts = zip(self.gaussians_, self._factors, self._pooled(images), strict=True)
        found: np.ndarray = sum(one.distances(layer, factors)[:, 0] for one, factors, layer in parts).numpy()  # type: ignore[union-attr]
        return found

    def state(self) -> dict[str, Any]:
        """Return what ``restore`` takes back."""
        return {"layers": [one.state() for one in self.gaussians_]}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a saved ``state``."""
        self.gaussians_ = [Gaussians.from_state(one) for one in state["layers"]]
        self._factors = [one.factors() for one in self.gaussians_]

    def _pooled(self, images: np.ndarray) -> list[torch.Tensor]:
        """Average each layer of the network over the image: float32 (n, 1, c) each."""
        return [layer.mean((2, 3)).cpu()[:, None] for layer in self.extractor.layers(images)]


def _shrunk(layer: torch.Tensor) -> Gaussians:
    rows = layer[:, 0].double().numpy()
    share = float(ledoit_wolf_shrinkage(rows))
    ridge = max(share * float(rows.var(0).mean()), _LEAST_VARIANCE)
    return Gaussians.of(layer, ridge, weight=1 - share, ddof=0)
