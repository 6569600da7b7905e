"""The frame: as many pixels as asked for, in the proportions of the training photos, or of their upright parts."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

_STEP = 32  # strides of feature networks divide it
_SHORTEST = 64
_MOST_ELONGATED = 4.0
_ALIKE, _MOST_AGREE = np.log(1.25), 2 / 3


def frame_of(sizes: Iterable[tuple[float, float]], side: int) -> tuple[int, int]:
    """Choose the frame (height, width) for what has these sizes (height, width), with about side x side pixels.

    Its proportions are those of the median size; beyond 4 to 1 they are cut to that. Where the sizes do not agree,
    so that one in three differs from the median by a quarter, or there are none, the frame is square. Sides are
    multiples of 32 px, at least 64.
    """
    elongations = np.array([np.log(height / width) for height, width in sizes])
    median = float(np.median(elongations)) if elongations.size else 0.0
    agree = np.mean(np.abs(elongations - median) < _ALIKE) > _MOST_AGREE if elongations.size else False
    limit = np.log(_MOST_ELONGATED)
    half = float(np.clip(median, -limit, limit)) / 2 if agree else 0.0
    return _rounded(side * np.exp(half)), _rounded(side * np.exp(-half))


def _rounded(length: float) -> int:
    return max(_SHORTEST, round(length / _STEP) * _STEP)
