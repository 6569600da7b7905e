"""The first stage of the cascade: PatchCore on defect-free steel decides between defect and no defect.

Strips are long, PatchCore sees squares: an image is cut into squares of its shorter side that cover it evenly, and its
score is that of its most anomalous square. A square NEU image is one tile, so that a 256 px tile of a strip and a
200 px NEU image fill the same frame.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import overload

import numpy as np

from fastener.common.errors import UserError
from fastener.config import CalibrationSettings, Config, ModelSettings, PreprocessSettings, RunSettings
from fastener.datasets.images import opened, read_image
from fastener.datasets.near_copies import copy_groups, signature
from fastener.datasets.severstal import SteelStrip
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Failure, Inspection
from fastener.models.calibration import conformal_threshold
from fastener.models.progress import Progress, no_progress
from fastener.open_set.settings import SteelSettings
from fastener.open_set.splits import hold_out

HELD_OUT = "held-out defect-free strips"


@dataclass(frozen=True)
class SteelRoles:
    """Strips by what they are for, as places in the list of all: int64 (n,) each."""

    train: np.ndarray
    calibration: np.ndarray
    test_normal: np.ndarray
    test_defective: np.ndarray


class SteelGate:
    """An Inspector that judges images tile by tile; ``threshold`` is on the score of the worst tile."""

    def __init__(self, inspector: Inspector):
        self.inspector = inspector

    @classmethod
    def train(
        cls,
        strips: Sequence[SteelStrip],
        roles: SteelRoles,
        settings: SteelSettings,
        backbone: str,
        weights: Path | None,
        run: RunSettings,
        progress: Progress = no_progress,
    ) -> tuple[SteelGate, float]:
        """Learn from the training strips; the threshold comes from the calibration strips, by images and not by tiles.

        Returns the gate, and the share of defect-free images that its threshold stands for: more than was asked for
        where the calibration strips are too few. ``backbone`` "filters" needs no weights. Raises UserError for a strip
        that cannot be read.
        """
        tiles = Tiles([strips[place].path for place in roles.train])
        config = gate_config(settings, backbone, run)
        gate = cls(Inspector.train(tiles, config, weights if backbone != "filters" else None, progress))
        held_out = gate.scores([strips[place].path for place in roles.calibration], progress)
        threshold, alpha = conformal_threshold(held_out, settings.alpha)
        return cls(gate.inspector.with_threshold(threshold, HELD_OUT)), alpha

    @property
    def threshold(self) -> float:
        """Images that score above it are defective."""
        return self.inspector.threshold

    def scores(self, paths: Sequence[Path], progress: Progress = no_progress) -> np.ndarray:
        """Score of the worst tile of each image: float64 (n,). Raises UserError for one that cannot be read."""
        owners: list[int] = []

        def tiles() -> Iterator[np.ndarray]:
            for place, path in enumerate(progress(paths, len(paths), "PatchCore")):
                found = tiles_of(read_image(path))
                owners.extend([place] * len(found))
                yield from found

        scores = [self._score_of(one) for one in self.inspector.stream(tiles())]
        worst = np.full(len(paths), -np.inf)
        np.maximum.at(worst, owners, scores)
        return worst

    def score(self, photo: np.ndarray) -> float:
        """Score of the worst tile of a photo, uint8 RGB (H, W, 3)."""
        return max(self._score_of(one) for one in self.inspector.inspect(tiles_of(photo)))

    @staticmethod
    def _score_of(result: Inspection | Failure) -> float:
        assert isinstance(result, Inspection)  # tiles are arrays: nothing is left to read
        return result.score


class Tiles(Sequence[np.ndarray]):
    """``tiles_of`` of each image, one image after another, decoded when they are asked for: memory for one image.

    To go through all of them decodes each image once; a place, each time. Raises UserError for an image that cannot be
    read.
    """

    def __init__(self, paths: Sequence[Path]):
        self._paths = paths
        self._ends = list(accumulate(map(_tile_count, paths)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for path in self._paths:
            yield from tiles_of(read_image(path))

    @overload
    def __getitem__(self, place: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, place: slice) -> list[np.ndarray]: ...
    def __getitem__(self, place: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        index = range(len(self))[place]
        image = bisect_right(self._ends, index)
        return tiles_of(read_image(self._paths[image]))[index - self._ends[image]]


def tiles_of(photo: np.ndarray) -> list[np.ndarray]:
    """Squares of the shorter side, evenly spaced from end to end: uint8 RGB (H, W, 3) -> (side, side, 3) each.

    As few as cover the photo; a square photo is its only tile.
    """
    side, length = sorted(photo.shape[:2])
    starts = np.linspace(0, length - side, math.ceil(length / side)).round().astype(int)
    along_width = photo.shape[1] == length
    return [photo[:, start : start + side] if along_width else photo[start : start + side] for start in starts]


def _tile_count(path: Path) -> int:
    """How many tiles ``tiles_of`` makes of an image, by its header: turning it to its orientation changes nothing."""
    with opened(path) as image:
        side, length = sorted(image.size)
    return math.ceil(length / side)


def steel_roles(strips: Sequence[SteelStrip], settings: SteelSettings, seed: int) -> SteelRoles:
    """Share out the defect-free strips, copies together; all defective ones are for the test.

    Raises UserError if there are too few defect-free ones, or one cannot be read.
    """
    normal = np.array([place for place, strip in enumerate(strips) if not strip.is_anomalous], np.int64)
    if not len(normal):
        raise UserError("the Severstal folder holds no defect-free image; PatchCore learns from those")
    groups = copy_groups(np.stack([signature(read_image(strips[place].path)) for place in normal]))
    test, calibration, train = hold_out(groups, (settings.test, settings.calibration), seed)
    defective = np.array([place for place, strip in enumerate(strips) if strip.is_anomalous], np.int64)
    return SteelRoles(normal[train], normal[calibration], normal[test], defective)


def gate_config(settings: SteelSettings, backbone: str, run: RunSettings) -> Config:
    """The Inspector's settings: tiles as they are, one kind of evidence, no colour (steel is photographed in grey)."""
    return Config.model_validate(
        {
            "preprocess": PreprocessSettings(enabled=False, size=settings.size),
            "model": ModelSettings(backbone=backbone, coreset_ratio=settings.coreset_ratio, colour_weight=0.0),
            "calibration": CalibrationSettings(alpha=settings.alpha),
            "run": run,
            "evidence": ("filters",) if backbone == "filters" else ("cnn",),
        }
    )
