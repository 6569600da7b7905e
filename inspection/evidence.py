"""The kinds of evidence, as a plain dict. Adding one is writing a class and adding its line to ``EVIDENCE``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch

from config import Config
from errors import UserError
from inspection.colour import rust_likelihood
from models.backbones import BACKBONES
from models.device import resolve_dtype
from models.feature_extractor import FeatureExtractor, cnn_extractor, filter_extractor
from models.memory_bank import MemoryBank
from models.patchcore import PatchCore
from models.scores import Scores
from models.weights import find_weights, how_to_get
from preprocessing.pipeline import Prepared

Batches = Iterable[Sequence[Prepared]]


@dataclass(frozen=True)
class Setup:
    """What evidence is built from: settings, the device, the CNN to use and the file of its weights, if given."""

    config: Config
    device: torch.device
    backbone: str
    weights: Path | None = None


class Evidence(ABC):
    """One way to tell healthy from anomalous. Constructed empty; ``fit`` or ``restore`` makes it ready to ``score``.

    Kinds of one ``family`` judge the same thing and speak with one voice. ``min_unit`` is the least difference in score
    that matters at all: where healthy parts hardly differ, calibration does not magnify less than this.
    """

    family: ClassVar[str]
    min_unit: ClassVar[float] = 0.0

    def __init__(self, setup: Setup):
        self.setup = setup

    @abstractmethod
    def fit(self, batches: Batches, groups: Sequence[int]) -> Scores:
        """Learn from healthy images; return scores as if each group of copies had not been among them.

        Called again on a fitted evidence, it learns more images and returns the scores of those.
        """

    @abstractmethod
    def score(self, batch: Sequence[Prepared]) -> Scores:
        """Score prepared images."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What ``restore`` needs: nested dicts and lists of tensors, numbers and strings."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Become what ``state`` was taken from. Raises UserError if this machine lacks what it takes."""


class StructureEvidence(Evidence):
    """PatchCore on the prepared image; the subclasses choose its features."""

    family = "structure"

    def __init__(self, setup: Setup):
        super().__init__(setup)
        model = setup.config.model
        self.extractor = self.build_extractor()
        self.patchcore = PatchCore(self.extractor, model.coreset_ratio, model.num_neighbors, model.smoothing_sigma)

    @abstractmethod
    def build_extractor(self) -> FeatureExtractor:
        """The patch features of this kind."""

    def fit(self, batches: Batches, groups: Sequence[int]) -> Scores:
        self.patchcore.fit((_images(batch) for batch in batches), groups)
        return self.patchcore.training_scores_

    def score(self, batch: Sequence[Prepared]) -> Scores:
        return self.patchcore.score(_images(batch))

    def state(self) -> dict[str, Any]:
        return {
            "extractor": self.extractor.state(),
            "bank": self.patchcore.bank_.features,
            "bank_groups": self.patchcore.bank_groups_,
            "cover_radius": self.patchcore.cover_radius_,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.extractor.restore(state["extractor"])
        self.patchcore.bank_ = MemoryBank(state["bank"], self.setup.device)
        self.patchcore.bank_groups_ = state["bank_groups"]
        self.patchcore.cover_radius_ = state["cover_radius"]


class CnnEvidence(StructureEvidence):
    """PatchCore on a pretrained CNN."""

    def build_extractor(self) -> FeatureExtractor:
        backbone, model, run = BACKBONES[self.setup.backbone], self.setup.config.model, self.setup.config.run
        self.weights = find_weights(backbone, self.setup.weights)
        if self.weights is None:
            raise UserError(f"no weights for {backbone.name} on this machine: {how_to_get(backbone)}")
        extractor, self.checksum = cnn_extractor(
            backbone,
            self.weights,
            model.layers,
            model.patch_size,
            model.target_dim,
            model.colour_weight,
            run.seed,
            self.setup.device,
            resolve_dtype(run.precision, self.setup.device),
        )
        return extractor

    def state(self) -> dict[str, Any]:
        return {**super().state(), "weights_checksum": self.checksum}

    def restore(self, state: dict[str, Any]) -> None:
        if state["weights_checksum"] != self.checksum:
            raise UserError(
                f"{self.weights} is not the file this model was trained with (checksum {self.checksum[:12]}, "
                f"expected {state['weights_checksum'][:12]}); pass the right one with --weights"
            )
        super().restore(state)


class FilterEvidence(StructureEvidence):
    """PatchCore on the weight-free Gabor filters."""

    def build_extractor(self) -> FeatureExtractor:
        model = self.setup.config.model
        return filter_extractor(model.filter_log_floor, model.patch_size, model.colour_weight, self.setup.device)


class ColourEvidence(Evidence):
    """The share of the part that is rust-coloured in the unprocessed photo. Needs no training."""

    family = "colour"
    min_unit = 0.01
    _MAP_SIGMA = 2.0

    def fit(self, batches: Batches, groups: Sequence[int]) -> Scores:
        parts = [self.score(batch) for batch in batches]
        return Scores(np.concatenate([p.images for p in parts]), np.concatenate([p.maps for p in parts]))

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


EVIDENCE: dict[str, type[Evidence]] = {"cnn": CnnEvidence, "filters": FilterEvidence, "colour": ColourEvidence}


def _images(batch: Sequence[Prepared]) -> np.ndarray:
    return np.stack([prepared.image for prepared in batch])
