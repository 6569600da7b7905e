"""The colour of the light in a shot, also where the background is over-exposed and says nothing any more."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from preprocessing.pipeline import Prepared
from preprocessing.registration import compose, invert, shrink

_SIDE = 800
# A channel from here on is clipped: its true value may have been any higher one.
_CLIPPED = 250
# Shaded background that is not clipped, nor so dark or coloured that it is anything but the same sheet.
_SHADE = (150.0, 235.0)
_MAX_SATURATION = 0.15
_MIN_SHARE = 0.002


@dataclass(frozen=True)
class Light:
    """What a white surface looks like in a shot: ``white`` float32 (3,) RGB 0..255.

    ``over_exposed``: the background is clipped. ``certain``: the colour of the light was seen all the same, or the
    background is not clipped; False too where no neutral background was found.
    """

    white: np.ndarray
    over_exposed: bool
    certain: bool


def find_light(photo: np.ndarray, prepared: Prepared) -> Light:
    """The light of a photo, uint8 RGB (H, W, 3), from its background.

    Where the background is clipped to white, the cast is read off its shaded parts: the ratio of the channels there
    is the light's, and the brightest channel is taken for white. Otherwise the background itself is white.
    """
    over_exposed = bool(prepared.white_is_background and prepared.white.max() >= _CLIPPED)
    if not over_exposed:
        return Light(prepared.white, False, prepared.white_is_background)
    shaded = _shaded_background(photo, prepared)
    if shaded is None:
        return Light(prepared.white, True, False)
    return Light(shaded, True, True)


def share_the_light(lights: list[Light]) -> list[Light]:
    """Shots of one session: those that do not show the colour of the light take it from the over-exposed that do."""
    seen = [light.white for light in lights if light.over_exposed and light.certain]
    if not seen:
        return lights
    white = np.median(seen, axis=0).astype(np.float32)
    return [Light(white, True, True) if light.over_exposed and not light.certain else light for light in lights]


def _shaded_background(photo: np.ndarray, prepared: Prepared) -> np.ndarray | None:
    small, to_small = shrink(photo, _SIDE)
    from_frame = compose(to_small, invert(prepared.transform))
    mask = cv2.warpAffine(prepared.mask.astype(np.uint8), from_frame, (small.shape[1], small.shape[0]))
    reach = max(3, round(0.01 * max(small.shape)))
    away = cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) == 0
    ground = small[away].astype(np.float32)
    level, high, low = ground.mean(axis=1), ground.max(axis=1), ground.min(axis=1)
    shade = ground[(level >= _SHADE[0]) & (level < _SHADE[1]) & (high - low < _MAX_SATURATION * high)]
    if len(shade) < _MIN_SHARE * small.shape[0] * small.shape[1]:
        return None
    ratio = np.median(shade / shade.max(axis=1, keepdims=True), axis=0)
    return np.asarray(255.0 * ratio / ratio.max(), np.float32)


def neutralised(photo: np.ndarray, light: Light) -> np.ndarray:
    """The photo, uint8 RGB (H, W, 3), with the cast of its light taken out; brightness stays, what is clipped clips."""
    if not light.certain:
        return photo
    gains = light.white.max() / np.maximum(light.white, 1.0)
    table = np.clip(np.rint(np.arange(256)[:, None] * gains[None, :]), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(photo, table[None]), np.uint8)
