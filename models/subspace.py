"""A baseline of one matrix: the principal components of healthy patches, and what they cannot redraw of a new patch.

After Lendering, Akdag and Bondarev, "SubspaceAD: Training-Free Few-Shot Anomaly Detection via Subspace Modeling", CVPR
2026 (arXiv 2602.23013), on the features of the network in use instead of DINOv2's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from fastener.models.feature_extractor import FeatureExtractor
from fastener.models.image_scores import TopScore
from fastener.models.moments import Moments
from fastener.models.scores import HealthyScores, Scores

KEPT = 0.99  # share of the variance that the components hold, as published


class Subspace:
    """Learn the subspace in which healthy patches vary; score a patch by its distance from it.

    ``extractor`` turns images into features on a grid; ``top`` turns distances into maps and image scores, with maps
    smoothed by ``sigma`` pixels. The features of all training images are held until ``fit_collected``.
    """

    moments_: Moments

    def __init__(self, extractor: FeatureExtractor, top: TopScore, sigma: float = 4.0):
        self.extractor = extractor
        self.top, self.sigma = top, sigma
        self._seen: list[torch.Tensor] = []
        self._size = (0, 0)

    def collect_features(self, images: np.ndarray) -> None:
        """Take in healthy images, uint8 RGB (n, H, W, 3), all of one size."""
        self._seen.append(self.extractor(images).cpu())
        self._size = images.shape[1:3]

    def fit_collected(self, groups: Sequence[int]) -> HealthyScores:
        """Learn from all images seen; return their scores as if each group (n,) had not been seen.

        Learning again adds images, and returns the scores of these. Raises ValueError without two different groups.
        """
        features, self._seen = torch.cat(self._seen), []
        labels = torch.as_tensor(groups)
        before = [self.moments_] if hasattr(self, "moments_") else []
        if not before and len(labels.unique()) < 2:
            raise ValueError("leave-one-out scores need at least two different training images")
        self.moments_ = Moments.join([*before, _moments(features)])
        self._basis = components(self.moments_)
        images, peaks = np.empty((2, len(labels)), np.float32)
        for group in labels.unique():
            chosen = labels == group
            others = self.moments_.without(_moments(features[chosen]))
            found = HealthyScores.of(self._scores(features[chosen], others.mean, components(others), self._size))
            images[chosen.numpy()], peaks[chosen.numpy()] = found.images, found.peaks
        return HealthyScores(images, peaks)

    def score(self, images: np.ndarray) -> Scores:
        """Score images, uint8 RGB (n, H, W, 3)."""
        return self._scores(self.extractor(images).cpu(), self.moments_.mean, self._basis, images.shape[1:3])

    def state(self) -> dict[str, Any]:
        """Return what ``restore`` takes back."""
        return dict(vars(self.moments_))

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a saved ``state``."""
        self.moments_ = Moments(**state)
        self._basis = components(self.moments_)

    def _scores(self, grid: torch.Tensor, mean: torch.Tensor, basis: torch.Tensor, size: tuple[int, int]) -> Scores:
        centred = grid - mean.float()
        rest = centred - centred @ basis @ basis.T
        return self.top(rest.norm(dim=3).numpy(), size, self.sigma)


def components(moments: Moments) -> torch.Tensor:
    """Return the leading principal axes, float32 (d, k), that together hold ``KEPT`` of the variance."""
    variances, axes = torch.linalg.eigh(moments.covariance)
    shares = variances.flip(0).clamp_min(0).cumsum(0)
    count = int((shares < KEPT * shares[-1]).sum()) + 1
    return torch.as_tensor(axes.flip(1)[:, :count], dtype=torch.float32)


def _moments(grid: torch.Tensor) -> Moments:
    return Moments.of(grid.flatten(0, 2), together=True)
