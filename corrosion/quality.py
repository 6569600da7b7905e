"""What is wrong with a shot, so that nobody trusts its figures silently."""

from __future__ import annotations

import cv2
import numpy as np

from fastener.config import CorrosionSettings
from fastener.corrosion.light import Light
from fastener.preprocessing.pipeline import Prepared
from fastener.preprocessing.registration import apply, invert

OVER_EXPOSED = "over-exposed"
LIGHT_UNKNOWN = "colour of the light unknown"
BLURRED = "blurred"
CUT_OFF = "cut off at the frame"
NO_PART = "no part found, whole photo measured"
NEW_VIEW = "view not shown at T0"

_CLIPPED = 250
# Margin to the photo's border, in parts of its longer side, that a part which is all in the picture keeps.
_BORDER = 0.004


def sharpness(lightness: np.ndarray, mask: np.ndarray) -> float:
    """How much of the part's contrast is fine: deviation of the Laplacian over that of the lightness, inside.

    ``lightness`` float32 (h, w), ``mask`` bool (h, w), in the canonical frame. Exposure cancels out.
    """
    inside = cv2.erode(mask.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    if not inside.any():
        return 0.0
    fine = cv2.Laplacian(cv2.GaussianBlur(lightness, (0, 0), 1.0), cv2.CV_32F)[inside]
    return float(fine.std() / max(float(lightness[inside].std()), 1.0))


def flags(prepared: Prepared, light: Light, settings: CorrosionSettings) -> list[str]:
    """The faults that a shot shows by itself; blur and view need T0 to compare with."""
    found = []
    if not prepared.part_found:
        found.append(NO_PART)
    clipped = 100.0 * float((prepared.photo[prepared.mask].min(axis=1) >= _CLIPPED).mean())
    if clipped > settings.max_clipped or light.over_exposed:
        found.append(OVER_EXPOSED)
    if not light.certain:
        found.append(LIGHT_UNKNOWN)
    if prepared.part_found and touches_border(prepared):
        found.append(CUT_OFF)
    return found


def touches_border(prepared: Prepared) -> bool:
    """Whether the part reaches the border of its photo."""
    rows, cols = np.nonzero(prepared.mask)
    x, y = apply(invert(prepared.transform), np.stack([cols, rows], axis=1).astype(np.float64)).T
    height, width = prepared.photo_size
    margin = _BORDER * max(height, width)
    near = (x < margin) | (x > width - 1 - margin) | (y < margin) | (y > height - 1 - margin)
    # A few pixels may be a grain of dust at the border.
    return bool(near.sum() > 0.002 * len(near))
