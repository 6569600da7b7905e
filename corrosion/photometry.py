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
_STARTS = (0.1, 0.25, 0.4, 0.5, 0.65)
_STEPS = 30
# A surface of one tone does not tell a veil from a gain. The veil is held back until contrast demands it.
_VEIL_PENALTY = 0.02
# Halfway, the loss narrows to the spread of the surface that has not changed, but no further than this.
_NARROWEST = 0.03
# Detail that a deposit hides: its scale, the neighbourhood in which it is compared, as shares of the frame's side, and
# the contrast that is noise. Every place counts a little, also where T0 shows no detail.
_DETAIL, _AROUND, _NOISE, _KEPT = 0.0026, 0.02, 0.01, 0.5
# A neighbourhood is left out if this share of it is burnt out.
_LOST = 0.5
# The light is unknown if less than this share of the places is left.
_KNOWN = 0.05
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
        Share of the surface that follows the relation, 0 to 1; 0 where too little is seen to find it.
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


def match_exposure(
    baseline: np.ndarray, later: np.ndarray, mask: np.ndarray, clipped: np.ndarray | None = None
) -> Exposure:
    """Fit ``later`` = gain * ``baseline`` + veil on the places of ``mask``, in linear luminance (h, w) of one frame.

    Neighbourhoods that are mostly ``clipped``, burnt out in either, tell nothing of the light and are left out.

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
    whole = int(where.sum())
    if clipped is not None:
        lost = cv2.GaussianBlur(clipped.astype(np.float32), (0, 0), blur)
        where &= cv2.resize(lost, size, interpolation=cv2.INTER_AREA) < _LOST
    if where.sum() < max(16, _KNOWN * whole):
        return Exposure(1.0, 0.0, 0.0)
    x, y = np.maximum(first[where], _LEAST).astype(np.float64), np.maximum(second[where], _LEAST).astype(np.float64)
    alike = cv2.resize(likeness(baseline, later, mask), size, interpolation=cv2.INTER_AREA)
    kept = _KEPT + alike[where].astype(np.float64)
    kept = kept / kept.mean()
    darkest = float(np.quantile(x, _DARKEST)), float(np.quantile(y, _DARKEST))
    return max(
        (_fitted(x, y, kept, float(np.quantile(y / x, start)), darkest) for start in _STARTS),
        key=lambda found: found.agreement,
    )


def likeness(baseline: np.ndarray, later: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Correlate the detail of two shots place by place, 0 to 1, float32 (h, w): deposit hides what T0 shows."""
    side, weight = max(mask.shape), mask.astype(np.float32)

    def mean(image: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.GaussianBlur(image * weight, (0, 0), _AROUND * side) / total)

    total = np.maximum(cv2.GaussianBlur(weight, (0, 0), _AROUND * side), 1e-3)
    one, other = (
        np.log(np.maximum(cv2.GaussianBlur(image, (0, 0), _DETAIL * side), _LEAST)) for image in (baseline, later)
    )
    means = mean(one), mean(other)
    product = mean(one * other) - means[0] * means[1]
    spread = (mean(one**2) - means[0] ** 2) * (mean(other**2) - means[1] ** 2)
    found = product / np.sqrt(np.maximum(spread, 0.0) + _NOISE**4)
    return np.asarray(np.where(mask, np.clip(found, 0.0, 1.0), 0.0), np.float32)


def _fitted(x: np.ndarray, y: np.ndarray, kept: np.ndarray, gain: float, darkest: tuple[float, float]) -> Exposure:
    veil, width = 0.0, _WIDTH
    for step in range(_STEPS):
        predicted = np.maximum(gain * x + veil, _LEAST)
        if step >= _STEPS // 2:
            off = np.abs(np.log(y / predicted))
            width = float(np.clip(2.5 * 1.4826 * np.median(off), _NARROWEST, width))
        weight = kept * (_agreements(y, predicted, width) / predicted) ** 2
        xx, x1, n = (weight * x * x).sum(), (weight * x).sum(), weight.sum() * (1.0 + _VEIL_PENALTY)
        xy, y1 = (weight * x * y).sum(), (weight * y).sum()
        veil = float(np.clip((xx * y1 - x1 * xy) / (xx * n - x1 * x1), -gain * darkest[0], darkest[1]))
        gain = max(float((xy - veil * x1) / xx), _LEAST)
    return Exposure(gain, veil, float((kept * _agreements(y, np.maximum(gain * x + veil, _LEAST), _WIDTH)).mean()))


def _agreements(y: np.ndarray, predicted: np.ndarray, width: float) -> np.ndarray:
    """Return 1 where the two agree, falling to 0 where they differ by far more than ``width``."""
    return np.asarray(1.0 / (1.0 + (np.log(y / predicted) / width) ** 2))
