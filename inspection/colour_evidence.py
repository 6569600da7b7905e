"""The evidence of colour: the share of a part that is rust-coloured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from fastener.config import Config
from fastener.inspection.colour import rust_likelihood
from fastener.inspection.evidence_base import Evidence, Setup
from fastener.models.scores import HealthyScores, Scores
from fastener.preprocessing.pipeline import Prepared


class ColourEvidence(Evidence):
    """Score the share of the part that is rust-coloured in the unprocessed photo. It learns nothing."""

    family = "colour"
    min_unit = 0.01
    prior_spread = 0.0  # a share of pixels may well be zero on every healthy photo
    map_threshold = 0.5  # the border of the rust sector
    in_shards = True
    _MAP_SIGMA = 2.0

    def __init__(self, setup: Setup):
        super().__init__(setup)
        self._collected: list[HealthyScores] = []

    @classmethod
    def is_default(cls, config: Config, backbone: str) -> bool:
        return config.preprocess.enabled is not False

    def collect_features(self, batch: Sequence[Prepared]) -> None:
        self._collected.append(HealthyScores.of(self.score(batch)))

    def fit_collected(self, groups: Sequence[int]) -> HealthyScores:
        collected, self._collected = self._collected, []
        return HealthyScores.join(collected)

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
        """Take over nothing, since nothing was learned."""
