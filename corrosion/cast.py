"""Tell a cast, which lies on the whole part, from colours that came in patches."""

from __future__ import annotations

import cv2
import numpy as np

from fastener.corrosion.places import square

# All places but this share differ from T0's colour by as much as a cast. Colours are compared as means over
# neighbourhoods that reach this share of the frame.
_SHARE, _AROUND = 0.25, 0.01
# Nothing is known from less than this share of the part.
_ENOUGH = 0.1


def common_cast(before: np.ndarray, after: np.ndarray, where: np.ndarray, part: np.ndarray) -> float:
    """Measure how far the colour of nearly all places lies from T0's, in CIELab units of a* and b*.

    Parameters
    ----------
    before, after
        a* and b* of T0 and of the shot, each corrected for its own light, in one frame: float32 (h, w, 2).
    where
        The places that both show, without those that are known to have changed: bool (h, w).
    part
        The part, bool (h, w). Where ``where`` covers too little of it, the result is 0.
    """
    if where.sum() < max(_ENOUGH * part.sum(), 1):
        return 0.0
    weight, around = where.astype(np.float32), square(_AROUND * max(where.shape)).shape
    total = np.maximum(cv2.blur(weight, around), 1e-3)
    off = cv2.blur((after - before) * weight[..., None], around) / total[..., None]
    return cast_from(np.zeros(2, np.float32), off[where])


def cast_from(usual: np.ndarray, after: np.ndarray) -> float:
    """Measure the same of places (n, 2), a* and b*, that cannot be laid over T0: how far off its ``usual`` (2,)."""
    return float(np.quantile(np.linalg.norm(after - usual, axis=1), _SHARE))
