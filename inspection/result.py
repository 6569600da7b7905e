"""The one result that every consumer shares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fastener.preprocessing.pipeline import map_to_photo


@dataclass(frozen=True)
class Region:
    """A box round one cluster of anomalous pixels, in photo pixels.

    ``score`` is the map's peak inside, ``area`` that of the cluster's own pixels, in square photo pixels.
    """

    x: int
    y: int
    width: int
    height: int
    score: float
    area: float


@dataclass(frozen=True)
class EvidenceResult:
    """What one kind of evidence says: raw score in its own unit, and conformal p-value."""

    score: float
    p_value: float


@dataclass(frozen=True)
class Inspection:
    """The verdict on one photo.

    ``score`` is the joined calibrated score, higher = more anomalous; the verdict is ``score > threshold``. ``map`` is
    float32 (h, w) in the canonical frame, joined like the score and on its scale; regions are what exceeds
    ``threshold`` in it. ``photo_map`` gives the map in the photo's own frame. ``photo`` is the photo, uint8 RGB
    (H, W, 3), or a shrunk copy of it, if it was asked for.
    """

    path: Path | None
    score: float
    threshold: float
    p_value: float
    confidence: float
    evidence: dict[str, EvidenceResult]
    regions: tuple[Region, ...]
    map: np.ndarray
    mask: np.ndarray
    transform: np.ndarray
    photo_size: tuple[int, int]
    part_found: bool
    photo: np.ndarray | None = None

    @property
    def is_anomalous(self) -> bool:
        """Whether the part is flagged."""
        return self.score > self.threshold

    def photo_map(self, size: tuple[int, int] | None = None) -> np.ndarray:
        """The anomaly map in the photo's frame: float32 (H, W), NaN where the model did not look.

        ``size`` (height, width) gives it for a copy of the photo that was shrunk to that size.
        """
        if size is None or size == self.photo_size:
            return map_to_photo(self.map, self.transform, self.photo_size)
        scale = np.array([self.photo_size[1] / size[1], self.photo_size[0] / size[0]])
        linear = self.transform[:, :2] * scale
        # Pixel centres lie at whole numbers: x_photo = (x + 0.5) * scale - 0.5.
        offset = self.transform[:, :2] @ (0.5 * scale - 0.5) + self.transform[:, 2]
        return map_to_photo(self.map, np.column_stack([linear, offset]), size)


@dataclass(frozen=True)
class Failure:
    """A photo that could not be inspected, and why in one line."""

    path: Path | None
    error: str
