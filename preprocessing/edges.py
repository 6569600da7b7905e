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
    gradients = [_gradient(channel) for channel in cv2.split(cv2.GaussianBlur(lab, (0, 0), _BLUR))]
    # At each pixel the steepest channel gives the gradient of a colour picture.
    across, down = gradients[0]
    for x, y in gradients[1:]:
        steeper = x * x + y * y > across * across + down * down
        across, down = np.where(steeper, x, across), np.where(steeper, y, down)
    noise = float(np.quantile(np.hypot(across, down)[ground], _NOISE_QUANTILE))
    limit = _STEPS * max(_MIN_GRADIENT, _NOISE_FACTOR * noise)
    whole = [np.rint(_STEPS * one).astype(np.int16) for one in (across, down)]
    return np.asarray(cv2.Canny(whole[0], whole[1], _LOWER * limit, limit, L2gradient=True) > 0)


def _gradient(channel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return cv2.Sobel(channel, cv2.CV_32F, 1, 0) / _SOBEL_GAIN, cv2.Sobel(channel, cv2.CV_32F, 0, 1) / _SOBEL_GAIN
