"""From scores to the decision "unknown", with a known share of known images that it costs."""

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
    """One or two scores, and the joined score above which an image is rejected as unknown.

    Of two scores, either may reject: each is brought to a scale on which validation images reach 1 with alpha / 2, and
    the larger one counts. One score alone keeps its own unit. ``alpha`` is the share of known images that the threshold
    stands for; more than was asked for where the validation images are too few.
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
        validation: Embedded,
        settings: RejectionSettings,
    ) -> Rejector:
        """Scores learn from training images with ``labels`` int (n,); thresholds from known validation images alone."""
        scores = tuple(SCORES[name](settings).fit(training, labels) for name in names)
        upper = 1 - settings.alpha / 2
        own = Scale(0.0, 1.0)
        scales = tuple(Scale.fit(one(validation), upper) if len(scores) > 1 else own for one in scores)
        known = _joined(scores, scales, validation)
        return cls(tuple(names), scores, scales, *conformal_threshold(known, settings.alpha))

    def __call__(self, images: Embedded) -> np.ndarray:
        """Joined scores (n,); rejected are those above ``threshold``."""
        return _joined(self.scores, self.scales, images)

    @property
    def cutoffs(self) -> dict[str, float]:
        """Of each score, the value in its own unit above which it rejects: tau, and that of kappa."""
        pairs = zip(self.names, self.scales, strict=True)
        return {name: scale.median + self.threshold * scale.unit for name, scale in pairs}


def _joined(scores: Sequence[OpenSetScore], scales: Sequence[Scale], images: Embedded) -> np.ndarray:
    return np.max([scale(score(images)) for score, scale in zip(scores, scales, strict=True)], axis=0)
