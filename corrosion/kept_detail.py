"""Tell place by place how much of T0's finest detail a later shot still shows."""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np

# Detail is what differs from the mean of a neighbourhood, and its agreement is that of a neighbourhood: its width as a
# share of the frame's side.
_AROUND = 0.008
# Registration errs by up to this many pixels, in each direction.
_OFF = 1
# Contrast below this, in L*, is no detail.
_LEAST = 0.1


def kept_detail(
    before: np.ndarray, after: np.ndarray, where: np.ndarray, usual: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Correlate the detail of T0 and of a shot around each place, and say which correlation a sound place would have.

    What a shot shows is taken for T0's detail, changed by a gain, and noise. Both are medians, as most of the
    surface has not changed. Where T0 shows little detail, noise hides it, and a sound place correlates little as well.

    Parameters
    ----------
    before, after
        Lightness of T0, in the light of the shot, and of the shot, in L*: (h, w).
    where
        The places that count, bool (h, w); nothing leaks in from others.
    usual
        The places that tell gain and noise, bool (h, w): most of them are sound, and away from edges.

    Returns
    -------
    agreement, expected
        The correlation at the best of the shifts by which registration errs, 0 to 1, and that of a sound place, 0 to 1;
        0 where T0 shows no detail: float32 (h, w) each.
    """
    sigma, weight = _AROUND * max(where.shape), where.astype(np.float32)
    total = np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma), 1e-3)

    def mean(image: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.GaussianBlur(image * weight, (0, 0), sigma) / total)

    old, new = ((one - mean(one)) * weight for one in (before, after))
    held, shown, agreement = mean(old**2), mean(new**2), np.zeros(where.shape, np.float32)
    for shift in product(range(-_OFF, _OFF + 1), repeat=2):
        scale = np.sqrt(np.maximum(np.roll(held, shift, (0, 1)) * shown, _LEAST**6))
        agreement = np.maximum(agreement, mean(np.roll(old, shift, (0, 1)) * new) / scale)
    agreement = np.minimum(agreement, 1.0)
    known = usual & (held >= _LEAST**2)
    if not known.any():
        return agreement, np.zeros_like(agreement)
    gain = float(np.median(agreement[known] ** 2 * shown[known] / held[known]))
    noise = float(np.median((1.0 - agreement[known] ** 2) * shown[known]))
    signal = np.where(held >= _LEAST**2, gain * held, 0.0)
    return agreement, np.sqrt(signal / np.maximum(signal + noise, 1e-9)).astype(np.float32)
