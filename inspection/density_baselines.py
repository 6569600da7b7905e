"""Baselines that model the density of a network's features: PaDiM, a Gaussian of the image, a subspace of patches.

Each sees the layers of the backbone that PatchCore sees; without a network, the Gabor filters.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from fastener.inspection.evidence_base import Setup, images_of
from fastener.inspection.pretrained import Weights, graph_of, pretrained_extractor
from fastener.inspection.turns import TurningEvidence
from fastener.models.feature_extractor import FeatureExtractor, filter_extractor
from fastener.models.image_scores import TopScore
from fastener.models.padim import CHANNELS, Padim
from fastener.models.pooled_gaussian import PooledGaussian
from fastener.models.scores import HealthyScores, Scores
from fastener.models.subspace import Subspace
from fastener.preprocessing.pipeline import Prepared


class _Model(Protocol):
    def collect_features(self, images: np.ndarray) -> None: ...
    def fit_collected(self, groups: Sequence[int]) -> Any: ...
    def score(self, images: np.ndarray) -> Any: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: dict[str, Any]) -> None: ...


class DensityEvidence(TurningEvidence):
    """Score by a density of features; subclasses choose the features and the density."""

    family = "structure"
    backbone_use = "optional"
    patch_size = 1
    target_dim: int | None = None

    def __init__(self, setup: Setup):
        super().__init__(setup)
        self.extractor, self.weights = self._extractor()
        self.model: _Model = self.build_model()

    @abstractmethod
    def build_model(self) -> _Model:
        """Build the empty model on ``self.extractor``."""

    @property
    def pretrained(self) -> FeatureExtractor | None:
        return self.extractor if self.weights is not None else None

    @property
    def networks(self) -> Sequence[nn.Module]:
        return (self.extractor.network,)

    def collect_images(self, images: np.ndarray) -> None:
        self.model.collect_features(images)

    def fit_images(self, groups: Sequence[int]) -> HealthyScores:
        found: HealthyScores = self.model.fit_collected(groups)
        return found

    def score(self, batch: Sequence[Prepared]) -> Scores:
        scores: Scores = self.model.score(images_of(batch))
        return scores

    def state(self) -> dict[str, Any]:
        checksum = self.weights.checksum if self.weights else None
        extractor = {"extractor": self.extractor.state(), "weights_checksum": checksum, **graph_of(self.extractor)}
        return {**extractor, "model": self.model.state()}

    def restore(self, state: dict[str, Any]) -> None:
        if self.weights is not None:
            self.weights.require(state["weights_checksum"])
        self.extractor.restore(state["extractor"])
        self.model.restore(state["model"])

    def _extractor(self) -> tuple[FeatureExtractor, Weights | None]:
        model, setup = self.setup.config.model, self.setup
        if setup.backbone == "filters":
            extractor = filter_extractor(model.filter_log_floor, self.patch_size, device=setup.device)
            extractor.recall = setup.recall(f"filters {model.filter_log_floor}")
            return extractor, None
        return pretrained_extractor(
            setup, model.layers, patch_size=self.patch_size, target_dim=self.target_dim, colour_weight=0.0
        )


class PadimEvidence(DensityEvidence):
    """Score each place by a Gaussian of its own, on 100 channels that are drawn at random (PaDiM)."""

    def build_model(self) -> Padim:
        channels = self.extractor(np.zeros((1, 224, 224, 3), np.uint8)).shape[-1]
        chosen = np.random.default_rng(self.setup.config.run.seed).permutation(channels)[:CHANNELS]
        self.extractor.projection = torch.eye(channels)[:, np.sort(chosen)]
        return Padim(self.extractor, self.setup.config.model.smoothing_sigma)


class GaussianEvidence(DensityEvidence):
    """Score the image by one Gaussian of the pooled features of each layer (Rippel et al.). It marks no place."""

    def build_model(self) -> PooledGaussian:
        return PooledGaussian(self.extractor)

    def fit_images(self, groups: Sequence[int]) -> HealthyScores:
        scores = self.model.fit_collected(groups)
        return HealthyScores(scores, np.full_like(scores, np.nan))

    def score(self, batch: Sequence[Prepared]) -> Scores:
        images = self.model.score(images_of(batch))
        # Views of one NaN take no memory.
        return Scores(images, np.broadcast_to(np.float32(np.nan), (len(images), *batch[0].image.shape[:2])))


class SubspaceEvidence(DensityEvidence):
    """Score patches by their distance from the principal components of healthy ones (as SubspaceAD)."""

    def __init__(self, setup: Setup):
        self.patch_size, self.target_dim = setup.config.model.patch_size, setup.config.model.target_dim
        super().__init__(setup)

    @property
    def top_scored(self) -> bool:
        return True

    def build_model(self) -> Subspace:
        model = self.setup.config.model
        return Subspace(self.extractor, TopScore(model.top_share or 0.01, model.top_of), model.smoothing_sigma)
