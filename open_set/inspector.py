"""A saved open-set model as an inspector: PatchCore tells whether there is a defect, the classifier names it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from fastener.config import PreprocessSettings
from fastener.datasets.images import Photo
from fastener.inspection.evidence_base import Evidence
from fastener.inspection.reading import Loaded
from fastener.inspection.result import Failure, Inspection
from fastener.open_set.model import OpenSetModel, worst_square
from fastener.preprocessing.registration import frame_transform
from fastener.preprocessing.tiles import SquareTiles

_NO_GATE = "no PatchCore in this model: it names a defect in every photo and cannot say that there is none"


@dataclass(frozen=True)
class LoadedSquares(Loaded):
    """Hold a photo for PatchCore, and for the classifier ``squares``, uint8 RGB (n, side, side, 3)."""

    squares: np.ndarray = field(default_factory=lambda: np.empty((0, 1, 1, 3), np.uint8))
    size: tuple[int, int] = (1, 1)


class OpenSetInspector:
    """Inspect photos by an open-set model. Each inspection has a ``naming``.

    The verdict is PatchCore's, with its score, threshold and map. A model without PatchCore flags every photo: its
    score is 1 and its threshold 0, it has no p-value, no confidence and no map.

    Parameters
    ----------
    model : OpenSetModel
        The saved model.

    Attributes
    ----------
    threshold : float
        PatchCore's score above which a photo shows a defect.
    preprocessor : Preprocessor
        Prepares photos for PatchCore.
    report : None
        The threshold rests on held-out photos, ``healthy_scores``, and not on a review of the training photos.
    """

    report = None

    def __init__(self, model: OpenSetModel):
        self.model = model
        self._gate = None if model.gate is None else copy.copy(model.gate.inspector)
        if self._gate is not None:
            # A defect may cover the whole photo, which then looks like no strip that was learned; it is named, too.
            self._gate.check = None
        plain = SquareTiles(PreprocessSettings(enabled=False))
        self.preprocessor = plain if self._gate is None else self._gate.preprocessor
        self.threshold = 0.0 if self._gate is None else self._gate.threshold

    @property
    def evidence(self) -> Mapping[str, Evidence]:
        """Kinds of evidence behind the score; none without PatchCore."""
        return {} if self._gate is None else self._gate.evidence

    @property
    def healthy_scores(self) -> np.ndarray:
        """PatchCore's scores of the held-out photos that set its threshold, float64 (n,); empty without PatchCore."""
        return np.empty(0) if self.model.gate is None else self.model.gate.healthy_scores()

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of defects that the model knows."""
        return self.model.known

    def describe(self) -> str:
        """Describe the model in a few lines for a person."""
        lines = [f"names {', '.join(self.kinds)}, or unknown"]
        return "\n".join([*lines, _NO_GATE if self._gate is None else self._gate.describe()])

    def with_threshold(self, threshold: float, source: str) -> Self:
        """Copy the inspector with another threshold of PatchCore; ``source`` says where it comes from."""
        other = copy.copy(self)
        if self._gate is not None:
            other._gate = self._gate.with_threshold(threshold, source)
            other.threshold = threshold
        return other

    def prepared(self, photo: Photo) -> LoadedSquares:
        """Prepare a decoded photo for ``inspect_loaded``."""
        tiles = () if self._gate is None else self.preprocessor.tiles(photo.pixels, photo.size)
        return LoadedSquares(None, tiles, notes=photo.notes, squares=self.model.squares(photo.pixels), size=photo.size)

    def inspect_loaded(self, batch: Sequence[LoadedSquares]) -> Iterator[Inspection | Failure]:
        """Inspect photos that ``prepared`` made, in one forward pass of each network."""
        if self._gate is None:
            found: list[Inspection | Failure] = [_flagged(one) for one in batch]
        else:
            found = list(self._gate.inspect_loaded(batch))
        judged = [(at, one) for at, one in enumerate(found) if isinstance(one, Inspection)]
        if judged:
            squares = [worst_square(batch[at].squares, one) for at, one in judged]
            namings = self.model.name(np.stack(squares), [one.score > one.threshold for _, one in judged])
            for (at, one), naming in zip(judged, namings, strict=True):
                found[at] = replace(one, naming=naming)
        return iter(found)


def _flagged(photo: LoadedSquares) -> Inspection:
    """Flag a photo of which no part was looked at more than any other."""
    nowhere = np.full((1, 1), np.nan, np.float32)
    return Inspection(
        path=None,
        score=1.0,
        threshold=0.0,
        p_value=float("nan"),
        confidence=float("nan"),
        evidence={},
        map=nowhere,
        mask=np.ones((1, 1), bool),
        transform=frame_transform(photo.size, (1, 1)),
        photo_size=photo.size,
        part_found=True,
        notes=photo.notes,
    )
