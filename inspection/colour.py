"""Measure which pixels of a part are rust-coloured in the unprocessed photo."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from fastener.config import ColourSettings

# Widths of the soft borders of the rust sector: hue in degrees, chroma and lightness in CIELab units.
_HUE_SOFTNESS = 3.0
_CHROMA_SOFTNESS = 2.0
_LIGHTNESS_SOFTNESS = 3.0


def relative_lab(photo: np.ndarray, white: np.ndarray) -> np.ndarray:
    """Convert uint8 RGB (H, W, 3) to CIELab float32 (H, W, 3), as if ``white`` (RGB 0..255) were the scene's white.

    This is a von Kries adaptation in linear sRGB: every channel is divided by the reference's channel, so that a colour
    cast or an exposure that part and reference share cancels out.
    """
    levels = _linear()[:, None] / np.maximum(_linear()[np.rint(white).astype(np.uint8)], 1e-3)[None, :]
    table = _companded(np.clip(levels, 0.0, 1.0)).astype(np.float32)
    balanced = np.stack([table[:, channel][photo[..., channel]] for channel in range(3)], axis=-1)
    return cv2.cvtColor(balanced, cv2.COLOR_RGB2LAB)


def rust_likelihood(photo: np.ndarray, white: np.ndarray, settings: ColourSettings) -> np.ndarray:
    """Measure how well each pixel fits the rust sector: float32 (H, W) in 0..1, at least 0.5 exactly inside it.

    In the sector the hue angle lies between ``hue_min`` and ``hue_max``, chroma is at least ``min_chroma``, lightness
    at most ``max_lightness``. Iron oxides lie at hues of 35 to 75 degrees; red thread-locking paint (13 to 30), brass
    and zinc yellow (80 and up) lie beside it. Borders are logistic, so that the likelihood changes smoothly and a share
    of rust has no ties.
    """
    lightness, a, b = cv2.split(relative_lab(photo, white))
    chroma, hue = np.hypot(a, b), np.degrees(np.arctan2(b, a))
    centre, half = (settings.hue_min + settings.hue_max) / 2, (settings.hue_max - settings.hue_min) / 2
    off_centre = np.abs((hue - centre + 180) % 360 - 180)
    margins = (
        (half - off_centre) / _HUE_SOFTNESS,
        (chroma - settings.min_chroma) / _CHROMA_SOFTNESS,
        (settings.max_lightness - lightness) / _LIGHTNESS_SOFTNESS,
    )
    return np.asarray(1 / (1 + np.exp(-np.clip(np.minimum.reduce(margins), -30, 30))), np.float32)


@lru_cache(maxsize=1)
def _linear() -> np.ndarray:
    """Tabulate linear light 0..1 of the sRGB code values 0..255 (IEC 61966-2-1)."""
    code = np.arange(256) / 255
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def _companded(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
