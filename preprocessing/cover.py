"""How far the part covers each pixel along its border: a mask finer than pixels, from the photo's own levels.

A mask from one threshold takes in shadows and fills the valleys of threads. Along its border every pixel is a mixture
of the part's level just inside and the ground's level just outside, both of which change slowly; the share of the part
in the mixture places the border within a pixel. A bright rim of metal looks like ground too, so the mask gives way in
notches only, which its making had closed. Shadows are told by their soft border.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

# Lengths are in pixels: half the band along the border that is looked at; the side of the square in which the levels
# inside and outside are averaged; and the disc that does not fit into a notch.
_BAND, _REACH = 4, 25
_NOTCH = (3, 4)  # steps of a square and of a diamond, which together make an octagon, nearly a disc, of radius 7
NEIGHBOURHOOD = _BAND + _REACH // 2 + 4  # pixels round a part of which the ground is looked at
# Levels nearer to each other than this, of 255, do not tell part from ground: the mask stays.
_LEAST_CONTRAST = 20.0
# The part's border is sought from _OUT pixels outside to _IN pixels inside, in steps of _SAMPLE. It is at least this
# part as sharp as the sharpest step there, and as many grey levels a sample.
_SHARP, _LEAST_STEP = 0.4, 1.5
_OUT, _IN, _SAMPLE = 2.0, 12.0, 0.5
_ALONG = 4  # points on either side that must agree
# A border is hidden where it is less steep, within so many pixels, than this part of its usual steepness, and up to so
# many points beside that.
_NEAR, _HIDDEN, _BESIDE = 3.0, 0.3, 6


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
    weights = _towards_part(photo, inside, outside)
    level = cv2.transform(photo.astype(np.float32), weights)
    band = np.flatnonzero((inside | outside) == 0)
    part, ground = _spread(level, inside, band), _spread(level, outside, band)
    contrast = part - ground
    share = np.clip((level.ravel()[band] - ground) * contrast / np.maximum(contrast**2, 1.0), 0, 1)
    trust = contrast**2 / (contrast**2 + _LEAST_CONTRAST**2)
    mixed = soft.copy()
    mixed.ravel()[band] = trust * share + (1 - trust) * mixed.ravel()[band]
    seen = (mixed > 0.5).astype(np.uint8) & solid
    # A bright rim of metal has gaps, too, but these are narrower than the valleys of a thread.
    notches = cv2.morphologyEx(_closed(seen) & solid & (1 - seen), cv2.MORPH_OPEN, _disc(1))
    near = np.asarray(cv2.dilate(notches, np.ones((3, 3), np.uint8)), np.uint8).view(bool)
    np.minimum(soft, mixed, out=soft, where=near)
    return soft


def _towards_part(photo: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Unit vector from the mean colour of the ground to that of the part: float32 (1, 3)."""
    apart = np.subtract(cv2.mean(photo, inside), cv2.mean(photo, outside))[:3]
    length = float(np.linalg.norm(apart))
    return np.asarray(apart / length if length > 1 else np.full(3, 3**-0.5), np.float32)[None]


def _spread(level: np.ndarray, where: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Mean level of the pixels ``where``, uint8 (h, w), around each pixel of number ``at``, (n,): float32 (n,)."""
    square = (_REACH, _REACH)
    known = cv2.boxFilter(where, cv2.CV_32F, square).ravel()[at] + np.float32(1e-6)
    return np.asarray(cv2.blur(level * where, square).ravel()[at] / known)


def _closed(seen: np.ndarray) -> np.ndarray:
    """Close uint8 ``seen`` (h, w) by a disc, in steps, which take a fraction of the time."""
    shapes = ((np.ones((3, 3), np.uint8), _NOTCH[0]), (_disc(1), _NOTCH[1]))
    closed = seen
    for step in (cv2.dilate, cv2.erode):
        for shape, times in shapes:
            closed = step(closed, shape, iterations=times)
    return closed


def without_shadow(points: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """Move the points of a closed border, float (n, 2), off a shadow onto the part's own edge: float64 (n, 2).

    Outlines are sharp, shadows are soft. Each point moves along its normal to the outermost step of ``grey``, float32
    (h, w), 0 to 255, that is a maximum and not much less sharp than the sharpest, as far as its neighbours do.
    """
    at = np.arange(-_OUT, _IN + 1, _SAMPLE)
    steep, inwards = _steepness(points, grey, at)
    sharp = steep >= np.maximum(_SHARP * steep.max(axis=1, keepdims=True), _LEAST_STEP)
    peak = sharp.copy()
    for before, after in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:, -1:], np.s_[:, :1])):  # the ends count as neighbours
        peak[after] &= steep[after] >= steep[before]
        peak[before] &= steep[before] >= steep[after]
    shift = np.where(peak.any(axis=1), at[peak.argmax(axis=1)], 0.0)
    around = np.concatenate([shift[-_ALONG:], shift, shift[:_ALONG]])
    calm = np.sort(sliding_window_view(around, 2 * _ALONG + 1), axis=1)[:, _ALONG]
    return np.asarray(points + calm[:, None] * inwards, float)


def sharp_points(points: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """Tell which points of a closed border, float (n, 2), lie on a step of ``grey``, float32 (h, w): bool (n,).

    Where the border is less than three tenths as steep as it usually is, a shadow or a face of the ground's colour
    hides where the part ends. Points beside such ones do not count either.
    """
    steep = _steepness(points, grey, np.arange(-_NEAR, _NEAR + 0.01, _SAMPLE))[0].max(axis=1)
    hidden = steep < _HIDDEN * np.median(steep)
    around = np.concatenate([hidden[-_BESIDE:], hidden, hidden[:_BESIDE]])
    return np.asarray(~sliding_window_view(around, 2 * _BESIDE + 1).any(axis=1))


def _steepness(points: np.ndarray, grey: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measure how steep ``grey`` (h, w) is along the normals of a border, and where its inside lies.

    ``points`` are float (n, 2). The results are grey levels a sample, float (n, m), at the distances ``at`` (m,)
    inwards, and unit vectors, (n, 2).
    """
    around = np.concatenate([points[-2:], points, points[:2]])
    step = around[4:] - around[:-4]
    length = np.maximum(np.hypot(step[:, :1], step[:, 1:]), 1e-6)
    # The border runs clockwise as seen on screen, so that its inside lies to the right of each step.
    inwards = np.stack([-step[:, 1], step[:, 0]], axis=1) / length
    where = (points[:, None] + at[None, :, None] * inwards[:, None]).astype(np.float32)
    level = cv2.remap(grey, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.abs(cv2.GaussianBlur(np.gradient(level, axis=1), (5, 1), 1.0)), inwards


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
