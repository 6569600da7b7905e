"""What every kind of evidence is built from and has to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from fastener.config import Config
from fastener.models.feature_extractor import FeatureExtractor
from fastener.models.progress import Progress, no_progress
from fastener.models.scores import HealthyScores, Scores
from fastener.preprocessing.pipeline import Prepared


@dataclass(frozen=True)
class Setup:
    """What evidence is built from: settings, the device, the CNN to use and the file of its weights, if given.

    ``progress`` shows training that goes over the images many times; ``checkpoint`` is a file where it may keep what it
    has reached, so that an interrupted run goes on from there. It is removed at the end. ``graph`` is the ONNX graph of
    a saved model's network, uint8 (n,), which then takes the place of the weights. ``sharing`` kinds of evidence share
    the memory that features may take.
    """

    config: Config
    device: torch.device
    backbone: str
    weights: Path | None = None
    progress: Progress = no_progress
    checkpoint: Path | None = None
    graph: torch.Tensor | None = None
    sharing: int = 1

    @property
    def memory_limit(self) -> int:
        """Bytes of features that one kind of evidence may hold."""
        return self.config.run.memory_limit_mb * 2**20 // max(1, self.sharing)


class Evidence(ABC):
    """One way to tell healthy from anomalous.

    Constructed empty; ``collect_features`` and ``fit_collected``, or ``restore``, make it ready to ``score``.

    Kinds of one ``family`` judge the same thing and speak with one voice. ``min_unit`` is the least difference in score
    that matters at all: where healthy parts hardly differ, calibration does not magnify less than this.
    ``map_threshold`` is set where the image score is the mean of the map, not its worst place: the raw map value below
    which this kind alone marks no place.
    """

    family: ClassVar[str]
    min_unit: ClassVar[float] = 0.0
    map_threshold: ClassVar[float | None] = None

    def __init__(self, setup: Setup):
        self.setup = setup

    @property
    def pretrained(self) -> FeatureExtractor | None:
        """The extractor of a pretrained network, if any: what ``run.precision`` and ``run.runtime`` are about."""
        return None

    @abstractmethod
    def collect_features(self, batch: Sequence[Prepared]) -> None:
        """Take in healthy images, a batch at a time; of the photos themselves nothing is kept."""

    @abstractmethod
    def fit_collected(self, groups: Sequence[int]) -> HealthyScores:
        """Learn from all images seen; return scores as if each group of copies had not been among them.

        NaN is the score of an image for which there is no such score: what was learned from it stays. After more images
        were seen, it learns them too and returns the scores of those.
        """

    def fit(self, batches: Iterable[Sequence[Prepared]], groups: Sequence[int]) -> HealthyScores:
        """``collect_features`` each of the batches, then ``fit_collected``."""
        for batch in batches:
            self.collect_features(batch)
        return self.fit_collected(groups)

    @abstractmethod
    def score(self, batch: Sequence[Prepared]) -> Scores:
        """Score prepared images."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What ``restore`` needs: nested dicts and lists of tensors, numbers and strings."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Become what ``state`` was taken from. Raises UserError if this machine lacks what it takes."""


def images_of(batch: Sequence[Prepared]) -> np.ndarray:
    """The prepared images, uint8 RGB (n, h, w, 3)."""
    return np.stack([prepared.image for prepared in batch])
