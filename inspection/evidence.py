"""The evidence of structure: PatchCore on a network, and on filters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from fastener.config import Config
from fastener.inspection.evidence_base import Setup, images_of
from fastener.inspection.pretrained import graph_of, pretrained_extractor
from fastener.inspection.turns import TurningEvidence
from fastener.models.anomaly_map import PositionStats
from fastener.models.feature_extractor import FeatureExtractor, filter_extractor
from fastener.models.image_scores import TopScore
from fastener.models.memory_bank import MemoryBank
from fastener.models.patchcore import PatchCore
from fastener.models.scores import HealthyScores, Scores
from fastener.preprocessing.pipeline import Prepared


class StructureEvidence(TurningEvidence):
    """Score the prepared image by PatchCore; subclasses choose the features."""

    family = "structure"
    in_shards = True
    holds_features = True

    def __init__(self, setup: Setup):
        super().__init__(setup)
        model = setup.config.model
        self.extractor = self.build_extractor()
        # An ONNX graph that makes this kind's features on machines without torch, uint8 (n,); export.py adds it.
        self.feature_graph: torch.Tensor | None = None
        self._patchcore = PatchCore(
            self.extractor,
            coreset_ratio=model.coreset_ratio,
            num_neighbors=model.num_neighbors,
            top_score=None if model.top_share is None else TopScore(model.top_share, model.top_of, model.cosine),
            smoothing_sigma=model.smoothing_sigma,
            index=model.index,
            memory_limit=setup.memory_limit,
            max_calibrating=setup.config.calibration.max_photos,
            coreset_projection=model.coreset_projection,
            line_length=model.line_length,
            per_position=model.per_position,
            seed=setup.config.run.seed,
            progress=setup.progress,
        )

    @abstractmethod
    def build_extractor(self) -> FeatureExtractor:
        """Build the extractor of this kind's patch features."""

    @property
    def patchcore(self) -> PatchCore:
        return self._patchcore

    @property
    def top_scored(self) -> bool:
        return self.patchcore.scores_by_top

    @property
    def networks(self) -> Sequence[nn.Module]:
        return (self.extractor.network,)

    def stages(self, name: str) -> Iterator[tuple[Any, str, str]]:
        yield self.patchcore, "extractor", f"backbone ({name})"
        yield self.patchcore.bank_, "search", "search"
        # Scoring without features and search is resizing and smoothing the map.
        yield self, "score", "map"

    def collect_images(self, images: np.ndarray) -> None:
        self.patchcore.collect_features(images)

    def fit_images(self, groups: Sequence[int]) -> HealthyScores:
        return self.patchcore.fit_collected(groups).training_scores_

    def score(self, batch: Sequence[Prepared]) -> Scores:
        return self.patchcore.score(images_of(batch))

    def score_unseen(self, batch: Sequence[Prepared], group: int) -> Scores:
        return self.patchcore.score_unseen(images_of(batch), group)

    def state(self) -> dict[str, Any]:
        return {
            "extractor": self.extractor.state(),
            "bank": self.patchcore.bank_.features,
            "bank_groups": self.patchcore.bank_groups_,
            "index": self.patchcore.bank_.index_state(),
            "cover_radius": self.patchcore.cover_radius_,
            "usual": None if self.patchcore.position_stats_ is None else self.patchcore.position_stats_.state(),
            **({} if self.feature_graph is None else {"features": self.feature_graph}),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.extractor.restore(state["extractor"])
        self.feature_graph = state.get("features")
        self.patchcore.bank_ = MemoryBank(state["bank"], self.setup.device).restore_index(state["index"])
        self.patchcore.bank_groups_ = state["bank_groups"]
        self.patchcore.cover_radius_ = state["cover_radius"]
        stats = state.get("usual")  # missing in files from before the setting model.per_position
        self.patchcore.position_stats_ = None if stats is None else PositionStats.from_state(stats)


class CnnEvidence(StructureEvidence):
    """Score by PatchCore on a pretrained CNN."""

    backbone_use = "required"
    # Filters beside a network help on crisp textures and harm on smooth ones: with a fifth of the weight, they stay
    # within 0.01 AUROC of the better one on screws, tiles, cookies, brushes, commutators and solar cells.
    weight = 4.0

    @classmethod
    def is_default(cls, config: Config, backbone: str) -> bool:
        return backbone != "filters"

    def build_extractor(self) -> FeatureExtractor:
        model = self.setup.config.model
        extractor, self.weights = pretrained_extractor(
            self.setup,
            model.layers,
            patch_size=model.patch_size,
            target_dim=model.target_dim,
            colour_weight=model.colour_weight,
        )
        extractor.unit_length, extractor.whiten = model.unit_length, model.whiten
        return extractor

    @property
    def pretrained(self) -> FeatureExtractor:
        return self.extractor

    def state(self) -> dict[str, Any]:
        return {**super().state(), "weights_checksum": self.weights.checksum, **graph_of(self.extractor)}

    def restore(self, state: dict[str, Any]) -> None:
        self.weights.require(state["weights_checksum"])
        super().restore(state)


class FilterEvidence(StructureEvidence):
    """Score by PatchCore on the weight-free Gabor filters."""

    @classmethod
    def is_default(cls, config: Config, backbone: str) -> bool:
        return True

    def build_extractor(self) -> FeatureExtractor:
        model = self.setup.config.model
        extractor = filter_extractor(
            model.filter_log_floor,
            model.patch_size,
            colour_weight=model.colour_weight,
            device=self.setup.device,
            whiten=model.whiten,
        )
        extractor.recall = self.setup.recall(f"filters {model.filter_log_floor}")
        return extractor
