"""Tell place by place how much of T0's finest detail a later shot still shows."""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np

from fastener.corrosion.places import closed, square

# Detail is what differs from the mean of a neighbourhood, and its agreement is that of a neighbourhood: its width as a
# share of the frame's side.
_AROUND = 0.008
# Registration errs by up to this share of the frame's side, in each direction, and not alike everywhere: where a part
# lies a little turned, or its faces have several heights.
_OFF = 0.0052
# Contrast below this, in L*, is no detail.
_LEAST = 0.1
# T0's detail is gone where it agrees by less than the first share of a sound place's agreement. Where a sound place
# would agree by less than the second, nothing is known; where most places agree by less than the third share, the part
# lies or is lit otherwise.
_GONE, _KNOWN, _USUAL = 0.75, 0.7, 0.9
# A relief is so strong that a sound place would agree by at least this, and wider than any edge: half its width as a
# share of the frame's side, and its area as a share of the known places.
_CLEAR, _WIDE, _ENOUGH = 0.98, 0.03, 0.05
# It is veiled where this share of the shot's contrast is not T0's, and this many times the share in its best kept part.
_FOREIGN, _TIMES, _BEST = 0.35, 4.0, 0.1


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
    off = max(1, round(_OFF * max(where.shape)))
    for shift in product(range(-off, off + 1), repeat=2):
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


def lost_detail(agreement: np.ndarray, expected: np.ndarray, known: np.ndarray, factor: float) -> np.ndarray:
    """Find the ``known`` places at which T0's detail is gone, by ``kept_detail``: bool (h, w).

    ``factor`` scales the limit: more than 1 finds less.
    """
    told = known & (expected >= _KNOWN)
    kept = agreement / np.maximum(expected, _KNOWN)
    if not told.any() or np.median(kept[told]) < _USUAL:
        return np.zeros_like(told)
    return np.asarray(told & (kept < _GONE / factor))


def veiled_relief(agreement: np.ndarray, expected: np.ndarray, known: np.ndarray, factor: float) -> np.ndarray:
    """Find the ``known`` places of threads, and of other strong relief, at which deposit veils T0's: bool (h, w).

    Deposit follows a thread, whose light and shade stay in their places, and so agree with T0's. It adds its own detail
    to them. A single edge is no such relief: whatever moves the light changes it. ``factor`` as in ``lost_detail``.
    """
    relief = closed(known & (expected >= _CLEAR)).astype(np.uint8)
    wide = cv2.morphologyEx(relief, cv2.MORPH_OPEN, square(_WIDE * max(known.shape)), borderValue=0) > 0
    told = known & (expected >= _CLEAR) & wide
    if told.sum() <= _ENOUGH * known.sum():
        return np.zeros_like(told)
    foreign = np.sqrt(1.0 - np.minimum(agreement, 1.0) ** 2)
    least = max(_FOREIGN, _TIMES * float(np.quantile(foreign[told], _BEST)))
    return np.asarray(told & (foreign > least * factor))
