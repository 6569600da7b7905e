"""Bring T0 into the light of a later shot: gain and veil, found on the majority of the surface that has not changed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
# The fit runs on blurred copies of this side, so that small errors of the registration do not matter.
_SIDE = 96
# Width of the robust loss in natural logarithms: pixels that differ by far more than 25 % count for nothing.
_WIDTH = 0.25
_STARTS = (0.25, 0.4, 0.5, 0.65)
_STEPS = 20
# A surface of one tone does not tell a veil from a gain. The veil is held back until contrast demands it.
_VEIL_PENALTY = 0.02
# No veil is stronger than the darkest places of its shot.
_DARKEST = 0.02
_LEAST = 1e-3


@dataclass(frozen=True)
class Exposure:
    """Relate the luminance of a later shot to that of T0: ``gain * T0 + veil``, in linear light of 0 to 1.

    Parameters
    ----------
    gain
        Factor by light, aperture and exposure.
    veil
        Stray light that the later shot has beyond T0's; negative where T0 has more.
    agreement
        Share of the surface that follows the relation, 0 to 1.
    """

    gain: float
    veil: float
    agreement: float

    def of(self, luminance: np.ndarray) -> np.ndarray:
        """Show T0's luminance in the light of the later shot."""
        return np.asarray(np.maximum(self.gain * luminance + self.veil, 0.0), np.float32)


def luminance(photo: np.ndarray) -> np.ndarray:
    """Convert a photo, uint8 RGB (h, w, 3), to linear luminance 0 to 1, float32 (h, w) (IEC 61966-2-1)."""
    code = np.arange(256) / 255
    linear = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4).astype(np.float32)
    return np.asarray(cv2.LUT(photo, linear) @ _LUMINANCE)


def match_exposure(baseline: np.ndarray, later: np.ndarray, mask: np.ndarray) -> Exposure:
    """Fit ``later`` = gain * ``baseline`` + veil on the places of ``mask``, in linear luminance (h, w) of one frame.

    The fit is a redescending M-estimate (Geman and McClure, 1987) of the logarithmic ratio. It starts from several
    gains and keeps the one with the least loss, so that deposits on part of the surface do not bend it.
    """
    size = (_SIDE, _SIDE)
    blur = max(mask.shape) / _SIDE * 0.75
    first, second = (
        cv2.resize(cv2.GaussianBlur(one, (0, 0), blur), size, interpolation=cv2.INTER_AREA) for one in (baseline, later)
    )
    side = 2 * round(2 * blur) + 1
    inner = cv2.erode(mask.astype(np.uint8), np.ones((side, side), np.uint8), borderValue=0)
    where = cv2.resize(inner, size, interpolation=cv2.INTER_NEAREST) > 0
    if where.sum() < 16:
        return Exposure(1.0, 0.0, 0.0)
    x, y = np.maximum(first[where], _LEAST).astype(np.float64), np.maximum(second[where], _LEAST).astype(np.float64)
    darkest = float(np.quantile(x, _DARKEST)), float(np.quantile(y, _DARKEST))
    return max(
        (_fitted(x, y, float(np.quantile(y / x, start)), darkest) for start in _STARTS),
        key=lambda found: found.agreement,
    )


def _fitted(x: np.ndarray, y: np.ndarray, gain: float, darkest: tuple[float, float]) -> Exposure:
    veil = 0.0
    for _ in range(_STEPS):
        predicted = np.maximum(gain * x + veil, _LEAST)
        weight = (_agreements(y, predicted) / predicted) ** 2
        xx, x1, n = (weight * x * x).sum(), (weight * x).sum(), weight.sum() * (1.0 + _VEIL_PENALTY)
        xy, y1 = (weight * x * y).sum(), (weight * y).sum()
        veil = float(np.clip((xx * y1 - x1 * xy) / (xx * n - x1 * x1), -gain * darkest[0], darkest[1]))
        gain = max(float((xy - veil * x1) / xx), _LEAST)
    return Exposure(gain, veil, float(_agreements(y, np.maximum(gain * x + veil, _LEAST)).mean()))


def _agreements(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return 1 where the two agree, falling to 0 where they differ by far more than ``_WIDTH``."""
    return np.asarray(1.0 / (1.0 + (np.log(y / predicted) / _WIDTH) ** 2))
