"""A baseline without a memory bank: one Gaussian of the features at each place of the photo.

Defard, Setkov, Loesch and Audigier, "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and
Localization", ICPR workshops 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from fastener.models.anomaly_map import to_pixels
from fastener.models.feature_extractor import FeatureExtractor
from fastener.models.gaussians import Gaussians
from fastener.models.scores import HealthyScores, Scores

RIDGE = 0.01  # added to the covariance, as published
CHANNELS = 100  # drawn at random, as published for a small network


class Padim:
    """Learn a Gaussian at each place; score by the Mahalanobis distance, the image by the highest of its map.

    ``extractor`` turns images into features on a grid; as published, ``CHANNELS`` numbers are drawn from those of the
    joined layers, and nothing is pooled. The features of all training images are held until ``fit_collected``. Maps are
    smoothed by a Gaussian of ``sigma`` pixels.
    """

    gaussians_: Gaussians

    def __init__(self, extractor: FeatureExtractor, sigma: float = 4.0):
        self.extractor = extractor
        self.sigma = sigma
        self._seen: list[torch.Tensor] = []
        self._size, self._grid = (0, 0), (0, 0)

    def collect_features(self, images: np.ndarray) -> None:
        """Take in healthy images, uint8 RGB (n, H, W, 3), all of one size."""
        self._seen.append(self._features(images))
        self._size = images.shape[1:3]

    def fit_collected(self, groups: Sequence[int]) -> HealthyScores:
        """Learn from all images seen; return their scores as if each group (n,) had not been seen.

        Learning again adds images, and returns the scores of these. Raises ValueError without two different groups.
        """
        features, self._seen = torch.cat(self._seen), []
        labels = np.asarray(groups)
        gaussians = Gaussians.of(features, RIDGE)
        if hasattr(self, "gaussians_"):
            gaussians = self.gaussians_.joined(gaussians)
        elif len(np.unique(labels)) < 2:
            raise ValueError("leave-one-out scores need at least two different training images")
        self.gaussians_, self._factors = gaussians, gaussians.factors().float()
        return self._left_out(features, labels)

    def score(self, images: np.ndarray) -> Scores:
        """Score images, uint8 RGB (n, H, W, 3), of the size of the training images."""
        distances = self.gaussians_.distances(self._features(images), self._factors)
        return self._scores(distances, images.shape[1:3])

    def state(self) -> dict[str, Any]:
        """Return what ``restore`` takes back."""
        return self.gaussians_.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a saved ``state``."""
        self.gaussians_ = Gaussians.from_state(state)
        self._factors = self.gaussians_.factors().float()

    def _features(self, images: np.ndarray) -> torch.Tensor:
        features = self.extractor(images)
        self._grid = (features.shape[1], features.shape[2])
        return features.flatten(1, 2).cpu()

    def _left_out(self, features: torch.Tensor, labels: np.ndarray) -> HealthyScores:
        images, peaks = np.empty((2, len(labels)), np.float32)
        factors: dict[int, torch.Tensor] = {}
        for group in np.unique(labels):
            chosen = labels == group
            size = int(chosen.sum())
            if size not in factors:
                factors = {size: self.gaussians_.factors(size)}
            distances = self.gaussians_.distances_unseen(features[torch.from_numpy(chosen)], factors[size])
            found = HealthyScores.of(self._scores(distances, self._size))
            images[chosen], peaks[chosen] = found.images, found.peaks
        return HealthyScores(images, peaks)

    def _scores(self, distances: torch.Tensor, size: tuple[int, int]) -> Scores:
        maps = to_pixels(distances.reshape(-1, *self._grid).numpy(), size, self.sigma)
        return Scores(maps.max((1, 2)), maps)
