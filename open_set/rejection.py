"""Reject images as unknown by their scores, at a chosen share of wrongly rejected known images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastener.models.calibration import Scale, conformal_threshold
from fastener.open_set.classifier import Embedded
from fastener.open_set.scores import SCORES, OpenSetScore
from fastener.open_set.settings import RejectionSettings, ScoreName


@dataclass(frozen=True)
class Rejector:
    """Reject an image as unknown if its score, or either of two scores, is too high.

    A single score keeps its own unit. Two scores are each scaled so that a share of alpha / 2 of the validation images
    exceeds 1, and the larger of the two counts.

    Parameters
    ----------
    names, scores
        One or two scores.
    scales
        Scale of each score.
    threshold
        Joined score above which an image is rejected.
    alpha
        Share of known images that the threshold may reject. It exceeds the requested share if there are too few
        validation images.
    """

    names: tuple[ScoreName, ...]
    scores: tuple[OpenSetScore, ...]
    scales: tuple[Scale, ...]
    threshold: float
    alpha: float

    @classmethod
    def fit(
        cls,
        names: Sequence[ScoreName],
        training: Embedded,
        labels: np.ndarray,
        *,
        validation: Embedded,
        settings: RejectionSettings,
    ) -> Rejector:
        """Fit scores to training images with ``labels`` int (n,), and thresholds to known validation images alone."""
        scores = tuple(SCORES[name](settings).fit(training, labels) for name in names)
        upper = 1 - settings.alpha / 2
        own = Scale(0.0, 1.0)
        scales = tuple(Scale.fit(one(validation), upper) if len(scores) > 1 else own for one in scores)
        known = _joined(scores, scales, validation)
        return cls(tuple(names), scores, scales, *conformal_threshold(known, settings.alpha))

    def __call__(self, images: Embedded) -> np.ndarray:
        """Compute joined scores (n,); an image above ``threshold`` is rejected."""
        return _joined(self.scores, self.scales, images)

    @property
    def cutoffs(self) -> dict[str, float]:
        """Map each score to the value, in its own unit, above which it rejects: tau, and the score behind kappa."""
        pairs = zip(self.names, self.scales, strict=True)
        return {name: scale.median + self.threshold * scale.unit for name, scale in pairs}


def _joined(scores: Sequence[OpenSetScore], scales: Sequence[Scale], images: Embedded) -> np.ndarray:
    scaled = [scale(score(images)) for score, scale in zip(scores, scales, strict=True)]
    return np.asarray(np.max(scaled, axis=0))
