"""Correct the light of a photo for the model: gray-world white balance, highlight inpainting, CLAHE.

Colours are never measured on a corrected photo; they are measured on the photo itself, see ``white_reference``.
"""

from __future__ import annotations

import cv2
import numpy as np

# Pixels more saturated than this (HSV saturation, which exposure does not change) have a colour of their own.
_GREY_SATURATION = 0.25
_MIN_GREY_SHARE = 0.1
_MAX_GAIN = 2.0
_LARGEST_HIGHLIGHT = 0.05  # share of the part's area
# A background that is this light, this weakly coloured and this even is taken for a neutral sheet in the scene's light.
# Wood, stone and skin are light too, but uneven. The spread is the distance from the median within which three quarters
# of the background's pixels lie.
_WHITE_MIN_LIGHTNESS = 60.0
_WHITE_MAX_CHROMA = 30.0
_WHITE_MAX_LIGHTNESS_SPREAD = 8.0
_WHITE_MAX_CHROMA_SPREAD = 4.0
_WHITE_MIN_SHARE = 0.02
_ENOUGH = 10_000  # pixels of the background, evenly taken, for medians that every one would move by a hundredth
# A darker sheet shows the colour of the light as long as the sheet itself is nearly grey. A dark sheet does not:
# scaling up its colour would amplify its own faint tint.
_GREY_MIN_LIGHTNESS = 40.0
_GREY_MAX_CHROMA = 12.0


def gray_world_gains(photo: np.ndarray) -> np.ndarray:
    """Compute channel gains, float32 (3,) RGB, that make the average of weakly coloured pixels grey (Buchsbaum, 1980).

    ``photo`` is uint8 RGB (H, W, 3). Strongly coloured pixels are left out: they say more about rust or wood than
    about the light. If under a tenth of the pixels is left, nothing is known of the light, and the gains are 1.
    """
    red, green, blue = cv2.split(photo)
    high = cv2.max(cv2.max(red, green), blue)
    low = cv2.min(cv2.min(red, green), blue)
    grey = ((high - low <= _GREY_SATURATION * high) & (high > 0)).astype(np.uint8)
    if grey.mean() < _MIN_GREY_SHARE:
        return np.ones(3, np.float32)
    means = np.array(cv2.mean(photo, grey)[:3])
    gains = means.mean() / np.maximum(means, 1e-6)
    return np.asarray(np.clip(gains, 1.0 / _MAX_GAIN, _MAX_GAIN).astype(np.float32))


def white_balance(photo: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Multiply the channels of uint8 RGB (H, W, 3) by ``gains`` (3,); values over 255 are clipped."""
    levels = np.arange(256, dtype=np.float32)[:, None] * gains[None, :]
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return cv2.LUT(photo, table[None])


def inpaint_highlights(photo: np.ndarray, part: np.ndarray, level: int) -> np.ndarray:
    """Fill specular highlights of the part from their surroundings (Telea, 2004).

    A highlight is a spot of ``part``, bool (H, W), whose grey values reach ``level``. A spot of over a twentieth of the
    part is a bright face and stays as it is, because its surroundings do not tell how it looks in another light.
    ``photo`` is uint8 RGB (H, W, 3); a new array is returned.
    """
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(((grey >= level) & part).astype(np.uint8))
    spot = stats[:, cv2.CC_STAT_AREA] <= _LARGEST_HIGHLIGHT * part.sum()
    spot[0] = False  # label 0 holds all pixels that are not bright
    bright = spot[labels].astype(np.uint8)
    if not bright.any():
        return photo.copy()
    # The rim of a highlight is brightened too, by blur and by JPEG.
    bright = cv2.dilate(bright, np.ones((3, 3), np.uint8))
    return cv2.inpaint(photo, bright, 3, cv2.INPAINT_TELEA)


def equalise_lightness(photo: np.ndarray, clip_limit: float, tiles: int) -> np.ndarray:
    """Equalise L* of CIELab by CLAHE (Zuiderveld, 1994); a* and b* stay.

    ``photo`` is uint8 RGB (H, W, 3), and so is the result. A ``clip_limit`` of 0 changes nothing.
    """
    if clip_limit == 0.0:
        return photo.copy()
    lab = cv2.cvtColor(photo, cv2.COLOR_RGB2LAB)
    clahe = cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=(tiles, tiles))
    lab[:, :, 0] = clahe.apply(np.ascontiguousarray(lab[:, :, 0]))
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)


def white_reference(photo: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, bool]:
    """Measure the colour of a white surface: float32 (3,) RGB, 0 to 255, and whether the background showed it.

    ``photo`` is uint8 RGB (H, W, 3), unprocessed; ``mask`` is bool (H, W), the part. The reference is the median of
    the background away from the part, if this background can be a neutral sheet: it covers at least 2 % of the photo,
    its median L* is over 60, its chroma under 30, and it is even (L* within 8, a* and b* within 4 of the median for
    three quarters of its pixels).

    A darker sheet that is as even and nearly grey shows the colour of the light, but not its level. The sheet's colour
    is then scaled up until its brightest channel is 255, and white does not count as shown.

    In all other photos the reference is plain white, which trusts the camera's own white balance. An estimate from the
    photo (grey world, white patch) would take the rust of a rusty part on a dark ground for the colour of the light.
    """
    away = _away_from(mask)
    if away.mean() >= _WHITE_MIN_SHARE:
        ground = photo[away]
        ground = ground[:: len(ground) // _ENOUGH + 1]
        lab = cv2.cvtColor((ground[:, None] / np.float32(255)), cv2.COLOR_RGB2LAB)[:, 0]
        lightness, a, b = np.median(lab, axis=0)
        spread = np.percentile(np.abs(lab - (lightness, a, b)), 75, axis=0)
        chroma = np.hypot(a, b)
        if spread[0] < _WHITE_MAX_LIGHTNESS_SPREAD and np.hypot(*spread[1:]) < _WHITE_MAX_CHROMA_SPREAD:
            sheet = np.median(ground, axis=0).astype(np.float32)
            if lightness > _WHITE_MIN_LIGHTNESS and chroma < _WHITE_MAX_CHROMA:
                return sheet, True
            if lightness > _GREY_MIN_LIGHTNESS and chroma < _GREY_MAX_CHROMA:
                return sheet * (255.0 / sheet.max()), False
    return np.full(3, 255.0, np.float32), False


def _away_from(mask: np.ndarray) -> np.ndarray:
    """Select background at a distance from the part, where the part's shadow and blur are weak: bool (H, W).

    If too little background lies at that distance, all of the background is selected.
    """
    reach = max(3, round(0.03 * max(mask.shape)))
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * reach + 1, 2 * reach + 1))
    away = cv2.dilate(mask.astype(np.uint8), kernel) == 0
    return away if away.mean() >= _WHITE_MIN_SHARE else ~mask
