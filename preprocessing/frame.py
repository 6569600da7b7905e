"""The frame of photos that are taken whole: as many pixels as asked for, in the proportions of the training photos."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

_STEP = 32  # strides of feature networks divide it
_SHORTEST = 64
_MOST_ELONGATED = 4.0


def frame_of(photo_sizes: Iterable[tuple[int, int]], side: int) -> tuple[int, int]:
    """Choose the frame (height, width) for photos of these sizes (height, width), with about side x side pixels.

    Its proportions are those of the median photo, so that most photos keep theirs; proportions beyond 4 to 1 are cut
    to that. Sides are multiples of 32 px, at least 64. Without photos the frame is square. Raises nothing.
    """
    elongations = [np.log(height / width) for height, width in photo_sizes]
    limit = np.log(_MOST_ELONGATED)
    half = float(np.clip(np.median(elongations), -limit, limit)) / 2 if elongations else 0.0
    return _rounded(side * np.exp(half)), _rounded(side * np.exp(-half))


def _rounded(length: float) -> int:
    return max(_SHORTEST, round(length / _STEP) * _STEP)
