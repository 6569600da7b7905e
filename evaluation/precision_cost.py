"""What a precision costs, from healthy photos alone: models of most of them judge the rest, plain and with defects."""

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

_HELD_OUT = 0.3
_MOST_HELD_OUT = 50
_MOST_LEARNED = 30
_FEWEST = 10
_DEFECTS = 4  # on each held-out photo, one at a time


@dataclass(frozen=True)
class PrecisionCost:
    """AUROC by name of the setting, each on the same ``n`` held-out photos, as they are and with synthetic defects."""

    auroc: dict[str, float]
    n: int


def auroc_by_setting(
    photos: Sequence[Path], configs: Mapping[str, Config], weights: Path | None = None, progress: Progress = no_progress
) -> PrecisionCost:
    """Train by each of ``configs`` on 70 % of the photos, at most 30, and measure it on the others, at most 50.

    Copies are kept together; ``run.seed`` draws. Every patch is kept: which of them a coreset keeps moves AUROC by more
    than the precision does. Raises UserError for fewer than ten different photos.
    """
    held_out = _hold_out(photos, next(iter(configs.values())).run.seed)
    rest = [photo for photo, out in zip(photos, held_out, strict=True) if not out]
    learning = [rest[i] for i in np.unique(np.linspace(0, len(rest) - 1, min(len(rest), _MOST_LEARNED)).astype(int))]
    testing = [photo for photo, out in zip(photos, held_out, strict=True) if out]
    measured = {}
    for name, config in configs.items():
        inspector = Inspector.fit(
            learning, _with_every_patch(config), weights=weights, progress=progress, warn=lambda line: None
        )
        labels, scores = [], []
        count = (1 + _DEFECTS) * len(testing)
        shown = progress(_plain_and_defective(testing, config.run.seed), count, f"judging {name}")
        for anomalous, photo in shown:
            (result,) = inspector.inspect([photo])
            assert isinstance(result, Inspection)
            labels.append(anomalous)
            scores.append(result.score)
        measured[name] = auroc(labels, scores)
    return PrecisionCost(measured, len(testing))


def _with_every_patch(config: Config) -> Config:
    return config.model_copy(update={"model": config.model.model_copy(update={"coreset_ratio": 1.0})})


def _hold_out(photos: Sequence[Path], seed: int) -> np.ndarray:
    """Which photos are held out, bool (n,); copies of one photo stay together."""
    groups = copy_groups(np.stack([signature(read_image(photo)) for photo in photos]))
    names = np.unique(groups)
    if len(names) < _FEWEST:
        raise UserError(
            f"--precision auto: {len(names)} different photos are too few to tell by; name fp32 or int8 instead"
        )
    count = min(_MOST_HELD_OUT, round(_HELD_OUT * len(names)))
    return np.isin(groups, np.random.default_rng(seed).permutation(names)[:count])


def _plain_and_defective(photos: Sequence[Path], seed: int) -> Iterator[tuple[bool, np.ndarray]]:
    """Each photo, uint8 RGB, and again with one defect after another (True), where one shows on it."""
    for index, path in enumerate(photos):
        photo = read_image(path)
        part = find_part(photo).mask
        yield False, photo
        for k in range(_DEFECTS):
            with suppress(UserError):  # a part so even that no defect shows
                yield True, add_defect(photo, part, seed * 1_000_000 + _DEFECTS * index + k).image
