"""What every kind of evidence says about a batch of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scores:
    """Higher = more anomalous, in the evidence's own unit.

    ``images``: float32 (n,), one score per image; ``maps``: float32 (n, H, W), where in the canonical frame. Maps of a
    method that judges the image alone are NaN everywhere, as pixels that were not inspected. ``figures`` are named
    numbers behind each score and ``notes`` a few words on it, one for each image, or empty for kinds without any.
    """

    images: np.ndarray
    maps: np.ndarray
    figures: Sequence[Mapping[str, float]] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class HealthyScores:
    """What is kept of the scores of training images, each measured as if its bank had not seen it.

    ``images``: float32 (n,), NaN for an image that was not measured so; ``peaks``: float32 (n,), the highest value of
    each one's map, NaN where there is none.
    """

    images: np.ndarray
    peaks: np.ndarray

    @classmethod
    def of(cls, scores: Scores) -> HealthyScores:
        """Scores without their maps."""
        return cls(scores.images, scores.maps.max((1, 2)))

    @classmethod
    def join(cls, parts: Sequence[HealthyScores]) -> HealthyScores:
        """Batch after batch."""
        return cls(np.concatenate([p.images for p in parts]), np.concatenate([p.peaks for p in parts]))
