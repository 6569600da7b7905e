"""Flag the faults of a shot, so that nobody trusts its figures without knowing them."""

from __future__ import annotations

import cv2
import numpy as np

from fastener.config import CorrosionSettings
from fastener.corrosion.light import BURNT_OUT, Light
from fastener.preprocessing.pipeline import Prepared
from fastener.preprocessing.registration import apply, invert

OVER_EXPOSED = "over-exposed"
LIGHT_UNKNOWN = "colour of the light unknown"
BLURRED = "blurred"
CUT_OFF = "cut off at the frame"
NO_PART = "no part found, whole photo measured"
NO_ZONE = "zone not placed, whole view measured"
NEW_VIEW = "view not shown at T0, or another part: not judged"
OTHER_NUMBER = (
    "view not shown at T0, as far as can be told: not judged (if it is, give the file the number of the T0 shot that "
    "shows this side)"
)
NEARLY_WHITE = "nearly as light as white deposit, so white corrosion reads low"
HARDLY_SEEN = "hardly any place can be compared with T0, as the part is burnt out or covered: not judged"
WEAKLY_KNOWN = "agrees weakly with T0: another part, or changed nearly all over"
OTHER_FINISH = "over eight times as light or as dark as at T0: another part or finish, or covered nearly all over"
MIRRORED = "mirrored against T0: not judged (turn the photo back)"

# A part that is fully in the picture keeps this margin to the photo's border, as a share of the longer side.
_BORDER = 0.004


def sharpness(lightness: np.ndarray, mask: np.ndarray) -> float:
    """Measure how much of the part's contrast is fine detail: deviation of the Laplacian over deviation of lightness.

    ``lightness`` float32 (h, w) and ``mask`` bool (h, w) are in the canonical frame. A change of exposure cancels out.
    """
    inside = cv2.erode(mask.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    if not inside.any():
        return 0.0
    fine = cv2.Laplacian(cv2.GaussianBlur(lightness, (0, 0), 1.0), cv2.CV_32F)[inside]
    return float(fine.std() / max(float(lightness[inside].std()), 1.0))


def flags(prepared: Prepared, light: Light, settings: CorrosionSettings) -> list[str]:
    """List the faults that a single shot shows; blur and a new view show only beside T0."""
    found = []
    if not prepared.part_found:
        found.append(NO_PART)
    clipped = 100.0 * float((prepared.photo[prepared.mask].min(axis=1) >= BURNT_OUT).mean())
    if clipped > settings.max_clipped or light.over_exposed:
        found.append(OVER_EXPOSED)
    if not light.certain:
        found.append(LIGHT_UNKNOWN)
    if prepared.part_found and touches_border(prepared):
        found.append(CUT_OFF)
    return found


def touches_border(prepared: Prepared) -> bool:
    """Tell whether the part reaches the border of its photo."""
    rows, cols = np.nonzero(prepared.mask)
    x, y = apply(invert(prepared.transform), np.stack([cols, rows], axis=1).astype(np.float64)).T
    height, width = prepared.photo_size
    margin = _BORDER * max(height, width)
    near = (x < margin) | (x > width - 1 - margin) | (y < margin) | (y > height - 1 - margin)
    # A few pixels may be a grain of dust at the border.
    return bool(near.sum() > 0.002 * len(near))
