"""Scale photos of more than 8 bits to uint8, by one white level for all photos of a model.

A file of 16 bits may hold 10, 12, 14 or 16 bits of a sensor, and seldom says which. Guessed photo by photo from the
brightest pixel, one hot pixel or a burnt-in label makes a photo many times darker than the next one. So a model learns
its white level once, from all training photos and from the bits that their files state, and scales every photo by it.
A photo that is read without a model is scaled by its own levels, hot pixels and burnt-in labels apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

# Black and white level; white alone (black is 0); "brightest" as models before white levels; None: the photo's own.
WhiteLevel = float | tuple[float, float] | Literal["brightest"] | None

# Sensors deliver these numbers of bits, right-aligned in deeper files.
_DEPTHS = (8, 10, 12, 14, 16, 18, 20, 24, 32)
_OLD_FULL_SCALES = (255.0, 4095.0, 65535.0)
# Share of the levels, at either end, that hot pixels, dead pixels and highlights may hold.
_TAIL = 0.001
_SAMPLE = 2**18  # levels looked at, evenly spread over the photo
# Floats whose levels end below this are on a scale from 0 to 1, with highlights above it.
_UNIT_SCALE = 2.0
_DEEPEST_OF_FLOATS = 2.0**16 - 1
# A photo fits a white level if it hardly exceeds it, and is not a whole depth darker.
_BRIGHTER, _DARKER = 1.02, 5.0
# A photo by itself that exceeds a scale by so little was exposed a little longer; it has no deeper sensor.
_SLACK = 1.1
_ODD_PHOTOS = 0.1  # share of training photos that may have other levels than the rest


@dataclass(frozen=True)
class Reach:
    """Where the levels of a photo end.

    Parameters
    ----------
    low, high : float
        Levels that all but one in a thousand pixels exceed, and stay below. Pixels at the greatest level that the file
        can hold, as saturated pixels and burnt-in labels have it, do not count for ``high``.
    floating : bool
        Whether the levels are floating-point numbers.
    bits : int or None
        Bits of a sample that the file states, where these are fewer than it could hold.
    most : float
        Greatest level that the file can hold; infinity for floats.
    """

    low: float
    high: float
    floating: bool
    bits: int | None = None
    most: float = float("inf")

    @classmethod
    def of(cls, values: np.ndarray, bits: int | None = None) -> Reach:
        """Measure the levels of a photo, (H, W) or (H, W, 3), of any number type."""
        step = max(1, round(float(np.sqrt(values.size / _SAMPLE))))
        sample = values[::step, ::step].ravel()
        floating = bool(np.issubdtype(values.dtype, np.floating))
        most = float("inf")
        if floating:
            sample = sample[np.isfinite(sample)]
            inner = sample
        else:
            ends = np.iinfo(values.dtype)
            most = float(ends.max)
            inner = sample[(sample < ends.max) & ((sample > ends.min) | (ends.min == 0))]
        if not inner.size:
            inner = sample if sample.size else np.zeros(1)
        low, high = np.quantile(inner, (_TAIL, 1 - _TAIL), method="higher")
        return cls(float(low), float(high), floating, bits, most)


def full_scale(reach: Reach, slack: float = 1.0) -> tuple[float, float]:
    """Choose black and white level for photos that reach so far: the ends of the smallest scale that holds them.

    Scales are 8 to 32 bits, as far below zero where levels are negative. Floats have the scale 0 to 1 or one of 8 to 16
    bits; where they leave these, the scale is their own reach. Levels may exceed a scale by the factor ``slack``.
    """
    low, high = reach.low, max(reach.high, -reach.low - 1, 0.0)
    # Noise round zero, as a dark frame that was subtracted leaves it, makes no signed scale.
    signed = low < -0.05 * max(high, 1e-12) and low < (0 if reach.floating else -1)
    if reach.floating and (signed or high > _DEEPEST_OF_FLOATS):
        return (low if signed else 0.0), reach.high
    if reach.floating and high <= _UNIT_SCALE:
        white = 1.0
    elif reach.bits is not None and not signed and high <= 2.0**reach.bits - 1:
        white = 2.0**reach.bits - 1
    else:
        depths = (2.0 ** (bits - signed) - 1 for bits in _DEPTHS)
        white = min(next((scale for scale in depths if high <= slack * scale), high), reach.most)
    return (-white - 1 if signed else 0.0), white


def learned_scale(photos: Sequence[Reach]) -> tuple[float, float] | None:
    """Choose black and white level for a model from its training photos of more than 8 bits; None without any.

    A tenth of the photos may be odd ones. Where integers and floats are mixed, the kind that is more frequent decides.
    """
    if not photos:
        return None
    floating = 2 * sum(one.floating for one in photos) > len(photos)
    alike = [one for one in photos if one.floating == floating]
    low = float(np.quantile([one.low for one in alike], _ODD_PHOTOS, method="higher"))
    high = float(np.quantile([one.high for one in alike], 1 - _ODD_PHOTOS, method="lower"))
    stated = {one.bits for one in alike}
    bits = stated.pop() if len(stated) == 1 else None
    return full_scale(Reach(low, high, floating, bits, max(one.most for one in alike)))


def scaled(values: np.ndarray, reach: Reach, level: WhiteLevel) -> tuple[np.ndarray, str]:
    """Scale levels, of any shape, to uint8; the second value is what the user should know about it, or "".

    ``level`` is the model's; None takes the photo's own, by ``full_scale`` of ``reach``. Levels that are not finite
    become black.
    """
    if level == "brightest":
        return deep_to_uint8(values), ""
    own = full_scale(reach, _SLACK)
    if level is None:
        return to_uint8(values, *own), ""
    black, white = level if isinstance(level, tuple) else (0.0, float(level))
    if reach.floating and own[1] == 1.0 < white / _UNIT_SCALE:
        note = f"its levels go from 0 to 1, and the white level of the model is {white:g}"
        return to_uint8(values, *own), f"{note}; it was scaled by its own levels"
    note = ""
    if reach.high > white + (_BRIGHTER - 1) * (white - black):
        note = f"its levels reach {reach.high:.4g} and were cut off at the white level {white:g} of the model"
    elif reach.high - black < (white - black) / _DARKER and own[1] < white:
        note = f"its levels end at {reach.high:.4g}, far below the white level {white:g} of the model"
    return to_uint8(values, black, white), note and f"{note}; save photos with the depth of the training photos"


def to_uint8(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """Map levels to uint8: ``black`` and below to 0, ``white`` and above to 255, what is not finite to 0."""
    level = np.where(np.isfinite(values), values, black).astype(np.float32)
    level -= np.float32(black)
    level *= np.float32(255.0 / max(white - black, 1e-12))
    return np.asarray(np.rint(np.clip(level, 0, 255, out=level), out=level), np.uint8)


def deep_to_uint8(values: np.ndarray) -> np.ndarray:
    """Convert grey levels of any depth, (H, W), to uint8 by their own maximum, for models before white levels.

    Whole numbers are divided by the smallest full scale of 8, 12 or 16 bits that holds their maximum. Floats within 0
    to 1 count as that range. Anything else (negative, or over 16 bits) is stretched from its minimum to its maximum.
    Values that are not finite become black.
    """
    grey = np.where(np.isfinite(values), values, 0).astype(np.float32)
    low, high = float(grey.min()), float(grey.max())
    if np.issubdtype(values.dtype, np.floating) and low >= 0.0 and high <= 1.0:
        full = 1.0
    elif low >= 0.0 and high <= _OLD_FULL_SCALES[-1]:
        full = next(scale for scale in _OLD_FULL_SCALES if high <= scale)
    else:
        grey, full = grey - low, max(high - low, 1e-12)
    return np.asarray(np.rint(grey * (255.0 / full)), np.uint8)
