"""Estimate what a numeric precision costs in AUROC from healthy photos alone.

A model of each setting trains on most of the photos and scores the others, as they are and with synthetic defects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fastener.common.errors import UserError
from fastener.config import Config
from fastener.datasets.images import read_image
from fastener.datasets.near_copies import copy_groups, signature
from fastener.datasets.synthetic.defects import add_defect
from fastener.evaluation.metrics import auroc
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Inspection
from fastener.models.progress import Progress, no_progress
from fastener.preprocessing.segmentation import find_part

_HELD_OUT = 0.3  # share of the photos
_MAX_HELD_OUT = 50
_MAX_TRAINING = 30
_MIN_PHOTOS = 10
_DEFECTS = 4  # on each held-out photo, one at a time


@dataclass(frozen=True)
class PrecisionCost:
    """AUROC of each setting on the same held-out photos.

    Parameters
    ----------
    auroc : dict of float
        Name of the setting -> AUROC of photos with synthetic defects against the same photos without.
    n : int
        Number of held-out photos.
    """

    auroc: dict[str, float]
    n: int


def auroc_by_setting(
    photos: Sequence[Path],
    configs: Mapping[str, Config],
    *,
    weights: Path | None = None,
    progress: Progress = no_progress,
) -> PrecisionCost:
    """Train by each of ``configs`` on 70 % of the photos, at most 30, and measure AUROC on the others, at most 50.

    ``run.seed`` draws the photos; copies of one photo stay together. Each model keeps every patch, because the choice
    of a coreset changes AUROC more than the precision does. Raises UserError for fewer than ten different photos.
    """
    held_out = _hold_out(photos, next(iter(configs.values())).run.seed)
    rest = [photo for photo, out in zip(photos, held_out, strict=True) if not out]
    training = [rest[i] for i in np.unique(np.linspace(0, len(rest) - 1, min(len(rest), _MAX_TRAINING)).astype(int))]
    validation = [photo for photo, out in zip(photos, held_out, strict=True) if out]
    measured = {}
    for name, config in configs.items():
        inspector = Inspector.fit(
            training, _with_every_patch(config), weights=weights, progress=progress, warn=lambda line: None
        )
        labels, scores = [], []
        count = (1 + _DEFECTS) * len(validation)
        for anomalous, photo in progress(_with_defects(validation, config.run.seed), count, f"scoring {name}"):
            (result,) = inspector.inspect([photo])
            assert isinstance(result, Inspection)
            labels.append(anomalous)
            scores.append(result.score)
        measured[name] = auroc(labels, scores)
    return PrecisionCost(measured, len(validation))


def _with_every_patch(config: Config) -> Config:
    return config.model_copy(update={"model": config.model.model_copy(update={"coreset_ratio": 1.0})})


def _hold_out(photos: Sequence[Path], seed: int) -> np.ndarray:
    """Draw the photos to hold out, bool (n,); copies of one photo stay together."""
    groups = copy_groups(np.stack([signature(read_image(photo)) for photo in photos]))
    names = np.unique(groups)
    if len(names) < _MIN_PHOTOS:
        raise UserError(
            f"--precision auto: {len(names)} different photos are too few to compare; choose fp32 or int8 instead"
        )
    count = min(_MAX_HELD_OUT, round(_HELD_OUT * len(names)))
    return np.isin(groups, np.random.default_rng(seed).permutation(names)[:count])


def _with_defects(photos: Sequence[Path], seed: int) -> Iterator[tuple[bool, np.ndarray]]:
    """Yield each photo (False, uint8 RGB), then the same photo with one defect at a time (True)."""
    for index, path in enumerate(photos):
        photo = read_image(path)
        part = find_part(photo).mask
        yield False, photo
        for k in range(_DEFECTS):
            with suppress(UserError):  # on a part without structure no defect is visible
                yield True, add_defect(photo, part, seed * 1_000_000 + _DEFECTS * index + k).image
