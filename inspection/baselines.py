"""Two baselines to compare PatchCore with: pooled features of the whole image, and an autoencoder."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from fastener.common.errors import UserError
from fastener.inspection.evidence_base import Evidence, Setup, images_of
from fastener.inspection.pretrained import Weights, graph_of, pretrained_extractor
from fastener.inspection.turns import TurningEvidence
from fastener.models.autoencoder import Autoencoder
from fastener.models.backbones import BACKBONES
from fastener.models.feature_extractor import FeatureExtractor, filter_extractor
from fastener.models.global_features import GlobalFeatures
from fastener.models.image_scores import top_mean
from fastener.models.memory_bank import MemoryBank
from fastener.models.runtime.storage import load_state, save_state
from fastener.models.scores import HealthyScores, Scores
from fastener.preprocessing.pipeline import Prepared

_CHECKPOINT_EVERY_S = 20.0
_MIN_PHOTOS = 4


class GlobalEvidence(TurningEvidence):
    """Score one vector per image: the pooled last layer of the backbone, or pooled Gabor filters without a network.

    This kind judges the image alone. Its map is NaN everywhere, which means "not inspected": no place is marked,
    pictures show none, and pixel metrics do not count this kind.
    """

    family = "structure"
    backbone_use = "optional"

    def __init__(self, setup: Setup):
        super().__init__(setup)
        self.model = GlobalFeatures(self._extractor())

    @property
    def pretrained(self) -> FeatureExtractor | None:
        return self.model.extractor if self.weights is not None else None

    @property
    def networks(self) -> Sequence[nn.Module]:
        return (self.model.extractor.network,)

    def collect_images(self, images: np.ndarray) -> None:
        self.model.collect_features(images)

    def fit_images(self, groups: Sequence[int]) -> HealthyScores:
        scores = self.model.fit_collected(groups).training_scores_
        return HealthyScores(scores, np.full_like(scores, np.nan))

    def score(self, batch: Sequence[Prepared]) -> Scores:
        images = self.model.score(images_of(batch))
        # Views of one NaN take no memory.
        return Scores(images, np.broadcast_to(np.float32(np.nan), (len(images), *batch[0].image.shape[:2])))

    def state(self) -> dict[str, Any]:
        return {
            "extractor": self.model.extractor.state(),
            "bank": self.model.bank_.features,
            "bank_groups": self.model.bank_groups_,
            "weights_checksum": self.weights.checksum if self.weights else None,
            **graph_of(self.model.extractor),
        }

    def restore(self, state: dict[str, Any]) -> None:
        if self.weights is not None:
            self.weights.require(state["weights_checksum"])
        self.model.extractor.restore(state["extractor"])
        self.model.bank_ = MemoryBank(state["bank"], self.setup.device)
        self.model.bank_groups_ = state["bank_groups"]

    def _extractor(self) -> FeatureExtractor:
        self.weights: Weights | None = None
        model = self.setup.config.model
        if self.setup.backbone == "filters":
            return filter_extractor(model.filter_log_floor, 1, device=self.setup.device)
        last = (model.layers or BACKBONES[self.setup.backbone].layers)[-1:]
        # The pool covers the whole image: patches, projection and colour terms are PatchCore's.
        extractor, self.weights = pretrained_extractor(
            self.setup, last, patch_size=1, target_dim=None, colour_weight=0.0
        )
        return extractor


class AutoencoderEvidence(Evidence):
    """Score the pixel error of an autoencoder: the map is the error, the score the mean of the map's highest pixels.

    The network sees the canonical frame resized to a square. The map is smoothed like PatchCore's.

    Leaving out one photo after another would mean one training per photo. Instead a share of the photos is held out, by
    groups of copies. A third of the held-out photos ends the training; two thirds calibrate the decision and serve
    nothing else, so that the threshold is as honest as PatchCore's, from fewer photos. All other photos get NaN from
    ``fit_collected``.

    Calling ``fit_collected`` again does not train again, since that would forget the first photos: the new photos only
    add to the calibration.
    """

    family = "structure"

    def __init__(self, setup: Setup):
        super().__init__(setup)
        self.settings = setup.config.autoencoder
        settings = self.settings
        self.model = Autoencoder(
            settings.side,
            width=settings.width,
            latent=settings.latent,
            learning_rate=settings.learning_rate,
            seed=setup.config.run.seed,
            device=setup.device,
        )
        self._trained = False
        self._collected: list[np.ndarray] = []
        self._size = (0, 0)

    @property
    def networks(self) -> Sequence[nn.Module]:
        return (self.model.network,)

    def collect_features(self, batch: Sequence[Prepared]) -> None:
        self._collected.append(self._shrunk(batch))
        self._size = batch[0].image.shape[:2]

    def fit_collected(self, groups: Sequence[int]) -> HealthyScores:
        images, self._collected = np.concatenate(self._collected), []
        unseen = np.ones(len(images), bool)
        if not self._trained:
            training, stopping, unseen = hold_out(groups, self.settings.held_out, self.setup.config.run.seed)
            self._train(images[training], images[stopping])
            self._trained = True
        scores, peaks = np.full((2, len(images)), np.nan, np.float32)
        found = HealthyScores.join(
            [HealthyScores.of(self._scores(batch, self._size)) for batch in _in_batches(images[unseen])]
        )
        scores[unseen], peaks[unseen] = found.images, found.peaks
        return HealthyScores(scores, peaks)

    @property
    def top_scored(self) -> bool:
        return True

    def score(self, batch: Sequence[Prepared]) -> Scores:
        return self._scores(self._shrunk(batch), batch[0].image.shape[:2])

    def state(self) -> dict[str, Any]:
        return {"weights": self.model.weights()}

    def restore(self, state: dict[str, Any]) -> None:
        self.model.restore(state["weights"])
        self._trained = True

    def _shrunk(self, batch: Sequence[Prepared]) -> np.ndarray:
        side = (self.settings.side, self.settings.side)
        return np.stack([cv2.resize(one.image, side, interpolation=cv2.INTER_AREA) for one in batch])

    def _scores(self, images: np.ndarray, size: tuple[int, int]) -> Scores:
        sigma = self.setup.config.model.smoothing_sigma
        maps = [
            cv2.resize(error, size[::-1], interpolation=cv2.INTER_LINEAR) for error in self.model.error_maps(images)
        ]
        if sigma > 0:
            maps = [cv2.GaussianBlur(map_, (0, 0), sigma) for map_ in maps]
        stacked = np.stack(maps)
        return Scores(top_mean(stacked, self.settings.top_share), stacked)

    def _train(self, images: np.ndarray, stopping: np.ndarray) -> None:
        """Train to the end, from the checkpoint if there is one of the same training."""
        settings, path = self.settings, self.setup.checkpoint
        identity = self._identity(images, stopping)
        if path is not None:
            self._resume(path, identity)
        epochs = self.model.training(images, stopping, settings.epochs, settings.patience)
        saved = time.monotonic()
        for _ in self.setup.progress(epochs, settings.epochs - self.model.epochs_done, "training autoencoder"):
            if path is not None and time.monotonic() - saved >= _CHECKPOINT_EVERY_S:
                save_state({"identity": identity, "training": self.model.progress_state()}, path)
                saved = time.monotonic()
        if path is not None:
            path.unlink(missing_ok=True)

    def _resume(self, path: Path, identity: str) -> None:
        try:
            state = load_state(path)
        except UserError:
            return  # missing or damaged: the training begins anew and replaces it
        if state.get("identity") == identity:
            self.model.resume(state["training"])

    def _identity(self, images: np.ndarray, stopping: np.ndarray) -> str:
        """Compute a digest that changes with everything that changes the outcome of the training."""
        facts = (self.settings.model_dump_json(), self.setup.config.run.seed, self.setup.device.type, torch.__version__)
        digest = hashlib.sha256(repr((facts, images.shape, stopping.shape)).encode())
        for array in (images, stopping):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def _in_batches(images: np.ndarray, size: int = 32) -> Iterator[np.ndarray]:
    yield from (images[start : start + size] for start in range(0, len(images), size))


def hold_out(groups: Sequence[int], share: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose which images train, which end the training, and which calibrate: three bool (n,), whole groups each.

    Of all groups, two thirds of ``share`` (at least 2 groups) calibrate, and a third (at least 1) ends the training.
    Raises UserError for fewer than four groups.
    """
    names = np.unique(groups)
    if len(names) < _MIN_PHOTOS:
        raise UserError(
            f"evidence autoencoder needs at least {_MIN_PHOTOS} different healthy photos, as it holds some out to "
            f"calibrate; {len(names)} given"
        )
    order = np.random.default_rng(seed).permutation(names)
    calibrating = max(2, round(share * 2 / 3 * len(names)))
    stopping = max(1, round(share / 3 * len(names)))
    parts = np.split(order, [calibrating, calibrating + stopping])
    return np.isin(groups, parts[2]), np.isin(groups, parts[1]), np.isin(groups, parts[0])
