"""The kinds of evidence, as a plain dict. Adding one is writing a class and adding its line to ``EVIDENCE``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np

from fastener.inspection.baselines import AutoencoderEvidence, GlobalEvidence
from fastener.inspection.colour import rust_likelihood
from fastener.inspection.evidence_base import Evidence, Setup, images_of
from fastener.inspection.pretrained import graph_of, pretrained_extractor
from fastener.models.anomaly_map import PositionStats
from fastener.models.feature_extractor import FeatureExtractor, filter_extractor
from fastener.models.memory_bank import MemoryBank
from fastener.models.patchcore import PatchCore
from fastener.models.scores import HealthyScores, Scores
from fastener.preprocessing.pipeline import Prepared


class StructureEvidence(Evidence):
    """PatchCore on the prepared image; the subclasses choose its features."""

    family = "structure"

    def __init__(self, setup: Setup):
        super().__init__(setup)
        model = setup.config.model
        self.extractor = self.build_extractor()
        self.patchcore = PatchCore(
            self.extractor,
            model.coreset_ratio,
            model.num_neighbors,
            model.smoothing_sigma,
            model.index,
            setup.memory_limit,
            setup.config.calibration.max_photos,
            setup.progress,
            model.coreset_projection,
            setup.config.run.seed,
            model.line_length,
            model.per_position,
        )

    @abstractmethod
    def build_extractor(self) -> FeatureExtractor:
        """The patch features of this kind."""

    def collect_features(self, batch: Sequence[Prepared]) -> None:
        self.patchcore.collect_features(images_of(batch))

    def fit_collected(self, groups: Sequence[int]) -> HealthyScores:
        return self.patchcore.fit_collected(groups).training_scores_

    def score(self, batch: Sequence[Prepared]) -> Scores:
        return self.patchcore.score(images_of(batch))

    def state(self) -> dict[str, Any]:
        return {
            "extractor": self.extractor.state(),
            "bank": self.patchcore.bank_.features,
            "bank_groups": self.patchcore.bank_groups_,
            "index": self.patchcore.bank_.index_state(),
            "cover_radius": self.patchcore.cover_radius_,
            "usual": None if self.patchcore.position_stats_ is None else self.patchcore.position_stats_.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.extractor.restore(state["extractor"])
        self.patchcore.bank_ = MemoryBank(state["bank"], self.setup.device).restore_index(state["index"])
        self.patchcore.bank_groups_ = state["bank_groups"]
        self.patchcore.cover_radius_ = state["cover_radius"]
        usual = state.get("usual")  # files written before there was one lack it
        self.patchcore.position_stats_ = None if usual is None else PositionStats.from_state(usual)


class CnnEvidence(StructureEvidence):
    """PatchCore on a pretrained CNN."""

    def build_extractor(self) -> FeatureExtractor:
        model = self.setup.config.model
        extractor, self.weights = pretrained_extractor(
            self.setup, model.layers, model.patch_size, model.target_dim, model.colour_weight
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
    """PatchCore on the weight-free Gabor filters."""

    def build_extractor(self) -> FeatureExtractor:
        model = self.setup.config.model
        return filter_extractor(
            model.filter_log_floor, model.patch_size, model.colour_weight, self.setup.device, model.whiten
        )


class ColourEvidence(Evidence):
    """The share of the part that is rust-coloured in the unprocessed photo. Needs no training."""

    family = "colour"
    min_unit = 0.01
    map_threshold = 0.5  # the border of the rust sector
    _MAP_SIGMA = 2.0

    def __init__(self, setup: Setup):
        super().__init__(setup)
        self._seen: list[HealthyScores] = []

    def collect_features(self, batch: Sequence[Prepared]) -> None:
        self._seen.append(HealthyScores.of(self.score(batch)))

    def fit_collected(self, groups: Sequence[int]) -> HealthyScores:
        seen, self._seen = self._seen, []
        return HealthyScores.join(seen)

    def score(self, batch: Sequence[Prepared]) -> Scores:
        maps = []
        images = []
        for prepared in batch:
            likelihood = rust_likelihood(prepared.photo, prepared.white, self.setup.config.colour) * prepared.mask
            images.append(float(likelihood.sum()) / max(int(prepared.mask.sum()), 1))
            maps.append(cv2.GaussianBlur(likelihood, (0, 0), self._MAP_SIGMA))
        return Scores(np.array(images, np.float32), np.stack(maps))

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing was learned, so nothing comes back."""


def hold_features(kinds: Iterable[str]) -> int:
    """How many of these kinds hold the features of all photos while they learn."""
    return sum(issubclass(EVIDENCE[kind], StructureEvidence) for kind in kinds)


EVIDENCE: dict[str, type[Evidence]] = {
    "cnn": CnnEvidence,
    "filters": FilterEvidence,
    "colour": ColourEvidence,
    "global": GlobalEvidence,
    "autoencoder": AutoencoderEvidence,
}
