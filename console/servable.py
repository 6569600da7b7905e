"""What the console needs of a model, whatever kind of model it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from fastener.config import RunSettings
from fastener.datasets.images import Photo
from fastener.inspection.evidence_base import Evidence
from fastener.inspection.inspector import Inspector
from fastener.inspection.reading import Loaded
from fastener.inspection.result import Failure, Inspection
from fastener.inspection.threshold_report import ThresholdReport
from fastener.preprocessing.pipeline import Preprocessor


class Servable(Protocol):
    """A model that inspects photos: an ``Inspector``, or one that also names kinds of defects."""

    @property
    def threshold(self) -> float:
        """Score above which a photo is flagged."""

    @property
    def preprocessor(self) -> Preprocessor:
        """Says how large photos are decoded."""

    @property
    def evidence(self) -> Mapping[str, Evidence]:
        """Kinds of evidence behind the score."""

    @property
    def report(self) -> ThresholdReport | None:
        """What the model's own threshold rests on, where that is known."""

    @property
    def healthy_scores(self) -> np.ndarray:
        """Scores of the healthy photos that the threshold is compared with; empty for a model that flags all photos."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of defects that the model names; empty for a model that names none."""

    def describe(self) -> str:
        """Describe the model in a few lines."""

    def with_threshold(self, threshold: float, source: str) -> Self:
        """Copy the model with another threshold."""

    def prepared(self, photo: Photo) -> Loaded:
        """Prepare a decoded photo."""

    def inspect_loaded(self, batch: Sequence[Any]) -> Iterator[Inspection | Failure]:
        """Inspect photos that ``prepared`` made."""


Read = Callable[[Path, str, RunSettings], Servable]


def read_inspector(path: Path, device: str, run: RunSettings) -> Servable:
    """Read the file of an ``Inspector``. Raises UserError if it cannot be used here."""
    return Inspector.load(path, device, run=run)
