"""What every kind of evidence says about a batch of images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scores:
    """Higher = more anomalous, in the evidence's own unit.

    ``images``: float32 (n,), one score per image; ``maps``: float32 (n, H, W), where in the canonical frame. Maps of a
    method that judges the image alone are NaN everywhere, as pixels that were not inspected.
    """

    images: np.ndarray
    maps: np.ndarray
