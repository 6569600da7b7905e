"""A baseline without patches: one feature vector per image, distance to the nearest healthy image.

Deep Nearest Neighbour Anomaly Detection (Bergman, Cohen and Hoshen 2020, arXiv 2002.10445), with one neighbour.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from fastener.models.feature_extractor import FeatureExtractor
from fastener.models.memory_bank import MemoryBank


class GlobalFeatures:
    """Remember the pooled features of healthy images; score new ones by the distance to the nearest, in FAISS.

    ``extractor`` turns images into features on a grid, of which the mean is kept. It should not project or add colour:
    the method as published does neither. There is no map: the mean has forgotten where anything was.

    After ``fit``: ``bank_`` (one row per training image), ``bank_groups_`` (int64 (n,), its group) and
    ``training_scores_`` (float32 (n,), leave-one-out: neighbours of the same group are not seen. The scale of each
    channel, where the extractor learns one, is that of all training images, as in PatchCore).
    """

    bank_: MemoryBank
    bank_groups_: torch.Tensor
    training_scores_: np.ndarray

    def __init__(self, extractor: FeatureExtractor):
        self.extractor = extractor
        self._seen: list[torch.Tensor] = []

    def fit(self, batches: Iterable[np.ndarray], groups: Sequence[int]) -> GlobalFeatures:
        """``collect_features`` each of the batches, then ``fit_collected``."""
        for batch in batches:
            self.collect_features(batch)
        return self.fit_collected(groups)

    def collect_features(self, images: np.ndarray) -> None:
        """Take in healthy images, uint8 RGB (n, H, W, 3)."""
        self._seen.append(self._pooled(images).cpu())

    def fit_collected(self, groups: Sequence[int]) -> GlobalFeatures:
        """Learn from all images seen; ``groups``: one number per image.

        Learning again adds images to the bank; ``training_scores_`` are those of the new ones, measured against all.
        Raises ValueError without two different groups.
        """
        extending = hasattr(self, "bank_")
        features, new = torch.cat(self._seen), torch.as_tensor(groups)
        if len(new) != len(features):
            raise ValueError(f"{len(features)} images but {len(new)} groups")
        rows, row_groups = features, new
        if extending:
            rows, row_groups = torch.cat([self.bank_.features, features]), torch.cat([self.bank_groups_, new])
        else:
            rows = features = self.extractor.fit(features)
        if len(row_groups.unique()) < 2:
            raise ValueError("leave-one-out scores need at least two different training images")
        self.bank_, self.bank_groups_ = MemoryBank(rows, self.extractor.device), row_groups
        self.training_scores_ = self._leave_one_out(features, new)
        self._seen = []
        return self

    def score(self, images: np.ndarray) -> np.ndarray:
        """Distances float32 (n,) of uint8 RGB images (n, H, W, 3) to their nearest healthy image."""
        return _nearest(self.bank_, self._pooled(images))

    def _pooled(self, images: np.ndarray) -> torch.Tensor:
        """(n, H, W, 3) -> (n, c). Standardising is linear, so that it may come before the mean or after it."""
        return self.extractor(images).mean((1, 2))

    def _leave_one_out(self, features: torch.Tensor, groups: torch.Tensor) -> np.ndarray:
        scores = np.empty(len(features), np.float32)
        for group in groups.unique():
            members = (groups == group).nonzero()[:, 0]
            others = self.bank_.without(self.bank_groups_ == group)
            scores[members.numpy()] = _nearest(others, features[members].to(self.extractor.device))
        return scores


def _nearest(bank: MemoryBank, features: torch.Tensor) -> np.ndarray:
    distances: np.ndarray = bank.search(features)[0][:, 0].cpu().numpy()
    return distances
