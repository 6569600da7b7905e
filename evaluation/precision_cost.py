"""Estimate from healthy photos alone what a numeric precision costs in AUROC, and measure what it brings in time.

A model of each setting trains on most of the photos and scores the others, as they are and with synthetic defects.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
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
from fastener.models.feature_extractor import FeatureExtractor
from fastener.models.progress import Progress, no_progress
from fastener.preprocessing.segmentation import find_part

_HELD_OUT = 0.3  # share of the photos
_MAX_HELD_OUT = 50
_MAX_TRAINING = 30
_MIN_PHOTOS = 10
_LEAST_ROUNDS, _MEASURED_S = 5, 2.0  # of a measurement of time; the first round warms up
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
    network_ms : dict of float
        Name of the setting -> milliseconds that its networks take for one photo on this machine, the median of runs in
        turn; empty where they were not measured.
    """

    auroc: dict[str, float]
    n: int
    network_ms: dict[str, float] = field(default_factory=dict)


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
    measured: dict[str, float] = {}
    extractors: dict[str, list[FeatureExtractor]] = {}
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
        extractors[name] = [one.pretrained for one in inspector.evidence.values() if one.pretrained is not None]
    return PrecisionCost(measured, len(validation), network_ms(extractors, inspector.preprocessor.size))


def network_ms(extractors: Mapping[str, Sequence[FeatureExtractor]], size: tuple[int, int]) -> dict[str, float]:
    """Measure the milliseconds that networks take for one image of ``size`` (H, W), for each name.

    All take their turn in each round, so that other work on the machine slows all alike; the median counts.
    """
    image = np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)
    seconds: dict[str, list[float]] = {name: [] for name in extractors}
    begin = time.perf_counter()
    while len(next(iter(seconds.values()))) < _LEAST_ROUNDS or time.perf_counter() - begin < _MEASURED_S:
        for name, networks in extractors.items():
            start = time.perf_counter()
            for one in networks:
                one.layers(image)
            seconds[name].append(time.perf_counter() - start)
    return {name: 1000 * float(np.median(times[1:])) for name, times in seconds.items()}


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
