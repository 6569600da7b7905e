"""How far the part covers each pixel along its border: a mask finer than pixels, from the photo's own levels.

A mask from one threshold takes in shadows and fills the valleys of threads. Along its border every pixel is a mixture
of the part's level just inside and the ground's level just outside, both of which change slowly; the share of the part
in the mixture places the border within a pixel. A bright rim of metal looks like ground too, so the mask gives way in
notches only, which its making had closed. Shadows are told by their soft border.
"""

from __future__ import annotations

import cv2
import numpy as np

# Lengths are in pixels: half the band along the border that is looked at; the side of the square in which the levels
# inside and outside are averaged; and the radius of the disc that does not fit into a notch.
_BAND, _REACH, _NOTCH = 4, 25, 7
# Levels nearer to each other than this, of 255, do not tell part from ground: the mask stays.
_LEAST_CONTRAST = 20.0
# The part's border is sought from _OUT pixels outside to _IN pixels inside, in steps of _SAMPLE. It is at least this
# part as sharp as the sharpest step there, and as many grey levels a sample.
_SHARP, _LEAST_STEP = 0.4, 1.5
_OUT, _IN, _SAMPLE = 2.0, 12.0, 0.5
_ALONG = 4  # points on either side that must agree


def cover_of(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Measure how far the part covers each pixel: float32 (h, w), 0 to 1; 0 or 1 away from the border.

    ``photo`` is uint8 RGB (h, w, 3), ``mask`` bool (h, w). The cover lies within the mask, but for half a pixel.
    """
    solid = mask.astype(np.uint8)
    soft = cv2.GaussianBlur(mask.astype(np.float32), (5, 5), 0.8)
    inside = np.asarray(cv2.erode(solid, _disc(_BAND)), np.uint8)
    outside = np.asarray(1 - cv2.dilate(solid, _disc(_BAND)), np.uint8)
    if not inside.any() or not outside.any():
        return soft
    level = _level(photo, inside > 0, outside > 0)
    part, ground = _spread(level, inside), _spread(level, outside)
    contrast = part - ground
    share = np.clip((level - ground) * contrast / np.maximum(contrast**2, 1.0), 0, 1)
    trust = contrast**2 / (contrast**2 + _LEAST_CONTRAST**2)
    mixed = np.where((inside | outside) > 0, soft, trust * share + (1 - trust) * soft).astype(np.float32)
    seen = (mixed > 0.5).astype(np.uint8) & solid
    closed = np.asarray(cv2.morphologyEx(seen, cv2.MORPH_CLOSE, _disc(_NOTCH)), np.uint8)
    notches = closed & solid & ~seen
    near = cv2.dilate(notches, np.ones((3, 3), np.uint8)) > 0
    return np.where(near, np.minimum(mixed, soft), soft)


def _level(photo: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Project colours on the line from the mean ground to the mean part: float32 (h, w), in grey levels."""
    apart = photo[inside].mean(axis=0) - photo[outside].mean(axis=0)
    length = float(np.linalg.norm(apart))
    weights = apart / length if length > 1 else np.full(3, 3**-0.5)
    return cv2.transform(photo.astype(np.float32), weights[None].astype(np.float32))


def _spread(level: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Carry the levels of the pixels ``where``, uint8 (h, w), to the pixels near them, float32 (h, w)."""
    weight = where.astype(np.float32)
    known = cv2.blur(weight, (_REACH, _REACH)) + np.float32(1e-6)
    return np.asarray(cv2.blur(level * weight, (_REACH, _REACH)) / known)


def without_shadow(points: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Move the points of a closed border, float (n, 2), off a shadow onto the part's own edge: float64 (n, 2).

    Outlines are sharp, shadows are soft. Each point moves along its normal to the outermost step of ``photo``, uint8
    RGB (h, w, 3), that is a maximum and not much less sharp than the sharpest, as far as its neighbours do.
    """
    step = np.roll(points, -2, axis=0) - np.roll(points, 2, axis=0)
    length = np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-6)
    # The border runs clockwise as seen on screen, so that its inside lies to the right of each step.
    inwards = np.stack([-step[:, 1], step[:, 0]], axis=1) / length
    at = np.arange(-_OUT, _IN + 1, _SAMPLE)
    where = (points[:, None] + at[None, :, None] * inwards[:, None]).astype(np.float32)
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    level = cv2.remap(grey, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    steep = np.abs(cv2.GaussianBlur(np.gradient(level, axis=1), (5, 1), 1.0))
    sharp = steep >= np.maximum(_SHARP * steep.max(axis=1, keepdims=True), _LEAST_STEP)
    peak = sharp & (steep >= np.roll(steep, 1, axis=1)) & (steep >= np.roll(steep, -1, axis=1))
    shift = np.where(peak.any(axis=1), at[peak.argmax(axis=1)], 0.0)
    window = np.stack([np.roll(shift, k) for k in range(-_ALONG, _ALONG + 1)])
    return np.asarray(points + np.median(window, axis=0)[:, None] * inwards, float)


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
