"""Find sharp edges of a photo: outlines of parts are sharp, shadows and uneven light are not (Canny, 1986)."""

from __future__ import annotations

import cv2
import numpy as np

# Lengths are in pixels, gradients in CIELab units per pixel. An edge starts where the gradient reaches the upper limit,
# and is followed as long as the gradient stays above the lower limit. A textured ground raises both limits. JPEG noise
# round a part stays below both.
_BLUR = 0.7
_MIN_GRADIENT = 3.0
_LOWER = 0.33
_NOISE_QUANTILE, _NOISE_FACTOR = 0.98, 1.5
# OpenCV's Canny computes in whole numbers, so gradients are passed on in steps of 1/128 unit.
_STEPS = 128
_SOBEL_GAIN = 8.0


def sharp_edges(lab: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Find the edges of a photo, float32 CIELab (H, W, 3), that stand out from its ground: bool (H, W), one pixel wide.

    ``ground``, bool (H, W), is a sample of the background; gradients as strong as the background's are no edges.
    """
    # At each pixel the steepest channel gives the gradient of a colour picture.
    across, down = _gradient(lab, 0)
    squared = across * across + down * down
    for number in range(1, lab.shape[2]):
        x, y = _gradient(lab, number)
        other = x * x + y * y
        steeper = (other > squared).view(np.uint8)
        for taken, into in ((x, across), (y, down), (other, squared)):
            cv2.copyTo(taken, steeper, into)
    noise = float(np.quantile(np.sqrt(squared[ground]), _NOISE_QUANTILE))
    limit = _STEPS * max(_MIN_GRADIENT, _NOISE_FACTOR * noise)
    steps = [np.rint(np.multiply(one, _STEPS, out=one), out=one).astype(np.int16) for one in (across, down)]
    return np.asarray(cv2.Canny(steps[0], steps[1], _LOWER * limit, limit, L2gradient=True) > 0)


def _gradient(lab: np.ndarray, channel: int) -> tuple[np.ndarray, np.ndarray]:
    calm = cv2.GaussianBlur(cv2.extractChannel(lab, channel), (0, 0), _BLUR)
    across = cv2.Sobel(calm, cv2.CV_32F, 1, 0, scale=1 / _SOBEL_GAIN)
    return across, cv2.Sobel(calm, cv2.CV_32F, 0, 1, scale=1 / _SOBEL_GAIN)
