"""The base of every kind of evidence, and the setup that a kind is built from.

torch is imported for type checkers only: kinds without a network work on machines that lack it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from fastener.config import Config
from fastener.inspection.decision import Traits
from fastener.inspection.registry import EVIDENCE
from fastener.models.progress import Progress, no_progress
from fastener.models.scores import HealthyScores, Scores
from fastener.preprocessing.pipeline import Prepared

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fastener.models.feature_extractor import FeatureExtractor, Recall
    from fastener.models.layer_memory import LayerMemory
    from fastener.models.patchcore import PatchCore


@dataclass(frozen=True)
class Setup:
    """Hold everything that a kind of evidence is built from.

    Parameters
    ----------
    config : Config
        All settings.
    device : torch.device
        Where networks are computed.
    backbone : str
        Name in ``BACKBONES``; "filters" where no network is used.
    weights : Path, optional
        File of the backbone's weights; None: it is looked for.
    progress : callable
        Shows training that goes over the images many times.
    checkpoint : Path, optional
        File in which a training keeps its state, so that an interrupted run goes on from there. It is removed at the
        end.
    graph : uint8 tensor of shape (n,), optional
        ONNX graph of a saved model's network, which then takes the place of the weights.
    sharing : int
        Number of kinds of evidence that share the memory for features.
    memory : LayerMemory, optional
        Remembers what networks saw in photos, where many models are shown the same ones.
    """

    config: Config
    device: torch.device
    backbone: str
    weights: Path | None = None
    progress: Progress = no_progress
    checkpoint: Path | None = None
    graph: torch.Tensor | None = None
    sharing: int = 1
    memory: LayerMemory | None = None

    def recall(self, network: str) -> Recall | None:
        """Return the memory's ``recall`` for the extractors of one network; None without a memory."""
        return None if self.memory is None else partial(self.memory.layers, network)

    @property
    def memory_limit(self) -> int:
        """Bytes of features that one kind of evidence may hold."""
        return self.config.run.memory_limit_mb * 2**20 // max(1, self.sharing)


class Evidence(ABC):
    """Judge one aspect of a photo: learn from healthy images, then score new ones.

    Constructed empty; ``collect_features`` and ``fit_collected``, or ``restore``, make it ready to ``score``. All that
    the rest of the toolkit needs to know about a kind is stated here, so that a new kind is one class and one line in
    inspection/registry.py.

    Parameters
    ----------
    setup : Setup
        Settings, device and backbone.

    Attributes
    ----------
    weight : float
        Weight of this kind beside the others of its family.
    family : str
        Kinds of one family judge the same aspect and are joined into one value.
    min_unit : float
        Floor of the calibrated scale, in raw score: where healthy parts hardly differ, calibration does not magnify
        smaller differences than this.
    prior_spread : float
        Standard deviation of healthy scores, in parts of their median, that is expected before any photo is seen. It
        matters with few photos only. 0 expects nothing.
    map_threshold : float or None
        Raw map value below which this kind marks no pixel; set only when the image score is the map's mean.
    backbone_use : {"none", "optional", "required"}
        Whether this kind computes the features of a pretrained network: never; where there is one; or always, so that
        naming it without a network is an error.
    in_shards : bool
        Whether it can be learned in shards on many machines. It then has a ``patchcore``, whose bank is joined from the
        shards, or hands over what it collects, or ``fit_collected`` scores each photo by itself.
    hands_over : bool
        Whether ``handed_over`` and ``take_in`` move what was collected, little for each photo, to another machine.
    holds_features : bool
        Whether it holds the features of all photos while it learns, and so shares ``run.memory_limit_mb``.
    """

    family: ClassVar[str]
    weight: ClassVar[float] = 1.0
    min_unit: ClassVar[float] = 0.0
    prior_spread: ClassVar[float] = 0.05
    map_threshold: ClassVar[float | None] = None
    backbone_use: ClassVar[Literal["none", "optional", "required"]] = "none"
    in_shards: ClassVar[bool] = False
    hands_over: ClassVar[bool] = False
    holds_features: ClassVar[bool] = False

    def __init__(self, setup: Setup):
        self.setup = setup

    @classmethod
    def is_default(cls, config: Config, backbone: str) -> bool:
        """Tell whether a new model uses this kind when the settings name none; ``backbone`` as in ``Setup``."""
        return False

    @property
    def top_scored(self) -> bool:
        """Tell whether the image score is the mean of the highest pixels of the map."""
        return False

    @property
    def says_nothing(self) -> bool:
        """Tell, after training, whether these photos show nothing that this kind could judge: it is left out then."""
        return False

    @property
    def traits(self) -> Traits:
        """Tell how this kind is joined with the others."""
        return Traits(
            self.family,
            weight=self.weight,
            min_unit=self.min_unit,
            prior_spread=self.prior_spread,
            map_threshold=self.map_threshold,
            top_scored=self.top_scored,
        )

    @property
    def pretrained(self) -> FeatureExtractor | None:
        """The extractor of a pretrained network, if any, to which ``run.precision`` and ``run.runtime`` apply."""
        return None

    @property
    def patchcore(self) -> PatchCore | None:
        """The memory of patches, if this kind has one."""
        return None

    @property
    def networks(self) -> Sequence[nn.Module]:
        """The networks that it holds in memory."""
        return ()

    def stages(self, name: str) -> Iterator[tuple[Any, str, str]]:
        """Yield owner, attribute and stage of the functions that the latency report times; ``name`` is the kind's."""
        yield self, "score", name

    @abstractmethod
    def collect_features(self, batch: Sequence[Prepared]) -> None:
        """Take in one batch of healthy images; the photos themselves are not kept."""

    def handed_over(self) -> list[Any]:
        """Hand over what was collected of each photo, if ``hands_over``; nothing stays."""
        raise NotImplementedError(f"{type(self).__name__} hands over nothing")

    def take_in(self, collected: Sequence[Any]) -> None:
        """Take in what other evidence of this kind has ``handed_over``, as if it had been collected here."""
        raise NotImplementedError(f"{type(self).__name__} takes in nothing")

    @abstractmethod
    def fit_collected(self, groups: Sequence[int]) -> HealthyScores:
        """Learn from all images taken in; return scores as if each group of copies had not been among them.

        NaN: this image was trained on, so no held-out score exists. Calling again adds images and returns only their
        scores.
        """

    def fit(self, batches: Iterable[Sequence[Prepared]], groups: Sequence[int]) -> HealthyScores:
        """Collect the features of each batch, then learn from all of them."""
        for batch in batches:
            self.collect_features(batch)
        return self.fit_collected(groups)

    @abstractmethod
    def score(self, batch: Sequence[Prepared]) -> Scores:
        """Score prepared images."""

    def score_unseen(self, batch: Sequence[Prepared], group: int) -> Scores:
        """Score prepared images as if the training photos of ``group`` had never been seen, as far as this kind can."""
        return self.score(batch)

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return everything that ``restore`` needs: nested dicts of tensors, arrays, numbers and strings."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Take over a saved ``state``. Raises UserError if this machine lacks something that it needs."""


def sharing(kinds: Iterable[str]) -> int:
    """Count the kinds that hold the features of all photos while they learn, and so share the memory for them."""
    return sum(EVIDENCE[kind].holds_features for kind in kinds)


def images_of(batch: Sequence[Prepared]) -> np.ndarray:
    """Stack the prepared images: uint8 RGB (n, h, w, 3)."""
    return np.stack([prepared.image for prepared in batch])
