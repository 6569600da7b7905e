"""The first stage of the cascade: PatchCore on defect-free steel decides between defect and no defect.

Strips are long, and PatchCore sees squares. So an image is cut into squares of its shorter side, see SquareTiles, and
its score is the score of its most anomalous square. A square NEU image is one tile: a 256 px tile of a strip and a
200 px NEU image fill the same frame.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fastener.common.errors import UserError
from fastener.config import CalibrationSettings, Config, ModelSettings, PreprocessSettings, RunSettings
from fastener.datasets.images import read_image
from fastener.datasets.near_copies import copy_groups, signature
from fastener.datasets.severstal import SteelStrip
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Failure, Inspection
from fastener.models.progress import Progress, no_progress
from fastener.open_set.settings import SteelSettings
from fastener.open_set.splits import hold_out
from fastener.preprocessing.tiles import SquareTiles

HELD_OUT = "held-out defect-free strips"
_SHOWN = 3  # names of odd strips in a warning
_CALIBRATION = "calibration scores"  # the note that keeps them in the model's file


@dataclass(frozen=True)
class SteelRoles:
    """Assign strips to their roles. Each field holds indices into the list of all strips, int64 (n,)."""

    train: np.ndarray
    calibration: np.ndarray
    test_normal: np.ndarray
    test_defective: np.ndarray


class SteelGate:
    """Judge images of steel tile by tile: the score of an image is the score of its worst tile.

    Parameters
    ----------
    inspector : Inspector
        Model of defect-free steel, fitted to tiles.
    """

    def __init__(self, inspector: Inspector):
        self.inspector = inspector.with_preprocessor(SquareTiles(inspector.config.preprocess))

    @classmethod
    def train(
        cls,
        strips: Sequence[SteelStrip],
        roles: SteelRoles,
        settings: SteelSettings,
        *,
        backbone: str,
        weights: Path | None,
        run: RunSettings,
        progress: Progress = no_progress,
        warn: Callable[[str], None] = lambda line: None,
    ) -> tuple[SteelGate, float]:
        """Fit to the training strips, and take the threshold from the calibration strips, by images and not by tiles.

        Returns the gate, and the share of defect-free images that its threshold flags at most. This share is higher
        than ``settings.alpha`` if there are too few calibration strips. ``backbone`` "filters" needs no weights.
        ``warn`` names strips that are unlike all others. Raises UserError for a strip that cannot be read.
        """
        said: list[str] = []
        config = gate_config(settings, backbone, run)
        fitted = Inspector.fit(
            [strips[place].path for place in roles.train],
            config,
            weights=weights if backbone != "filters" else None,
            preprocessor=SquareTiles(config.preprocess),
            progress=progress,
            warn=said.append,
        )
        held_out = cls(fitted).scores([strips[place].path for place in roles.calibration], progress)
        tail = fitted.decision.tail(held_out)
        odd = [strips[roles.calibration[place]].path.name for place in tail.outliers.tolist()]
        for line in _doubts(fitted, said, odd):
            warn(line)
        gate = fitted.with_threshold(tail.threshold, HELD_OUT)
        gate.notes = {**gate.notes, _CALIBRATION: json.dumps(held_out.tolist())}
        return cls(gate), tail.bound

    @property
    def threshold(self) -> float:
        """Score above which an image is defective."""
        return self.inspector.threshold

    def scores(self, paths: Sequence[Path], progress: Progress = no_progress) -> np.ndarray:
        """Score images by their worst tile: float64 (n,). Raises UserError for an image that cannot be read."""
        results = progress(self.inspector.stream(paths), len(paths), "PatchCore")
        return np.array([_inspected(one).score for one in results])

    def inspect(self, photo: np.ndarray) -> Inspection:
        """Inspect a photo, uint8 RGB (H, W, 3); its score is the score of its worst tile."""
        return _inspected(self.inspector.inspect(photo)[0])

    def healthy_scores(self) -> np.ndarray:
        """Return the scores of the calibration strips, float64 (n,); of models saved without, of the training tiles."""
        kept = self.inspector.notes.get(_CALIBRATION)
        return self.inspector.healthy_scores if kept is None else np.array(json.loads(kept))


def _doubts(fitted: Inspector, said: Sequence[str], odd: Sequence[str]) -> Iterator[str]:
    """Yield what to look at: strips unlike all others among those learned, and ``odd`` ones among those held out.

    What the fit has ``said`` of its own threshold does not count, as another one is taken.
    """
    report = fitted.report
    yield from said if report is None else report.others(said)
    learned = list(dict.fromkeys(photo.name for photo in report.left_out)) if report is not None else []
    for names, what in (
        (learned, "learned strip(s) look unlike all others; a defect in them is taken for good steel"),
        (odd, "held-out strip(s) look unlike all others and do not set the threshold"),
    ):
        if names:
            yield f"PatchCore: {len(names)} {what}: look at {', '.join(names[:_SHOWN])}"


def _inspected(result: Inspection | Failure) -> Inspection:
    if isinstance(result, Failure):
        raise UserError(result.error)
    return result


def steel_roles(strips: Sequence[SteelStrip], settings: SteelSettings, seed: int) -> SteelRoles:
    """Share out the defect-free strips among the roles, copies together; all defective strips are for the test.

    Raises UserError if there are too few defect-free strips, or one of them cannot be read.
    """
    normal = np.array([place for place, strip in enumerate(strips) if not strip.is_anomalous], np.int64)
    if not len(normal):
        raise UserError("the Severstal folder holds no defect-free image; PatchCore learns from those")
    groups = copy_groups(np.stack([signature(read_image(strips[place].path)) for place in normal]))
    test, calibration, train = hold_out(groups, (settings.test, settings.calibration), seed)
    defective = np.array([place for place, strip in enumerate(strips) if strip.is_anomalous], np.int64)
    return SteelRoles(normal[train], normal[calibration], normal[test], defective)


def gate_config(settings: SteelSettings, backbone: str, run: RunSettings) -> Config:
    """Make the inspector's settings: unprocessed tiles, one kind of evidence, and no colour, as steel is grey."""
    return Config.model_validate(
        {
            "preprocess": PreprocessSettings(enabled=False, size=settings.size),
            "model": ModelSettings(backbone=backbone, coreset_ratio=settings.coreset_ratio, colour_weight=0.0),
            "calibration": CalibrationSettings(alpha=settings.alpha),
            "run": run,
            "evidence": ("filters",) if backbone == "filters" else ("cnn",),
        }
    )
