"""The colour of the light in a shot, also where the background is over-exposed and says nothing any more."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from fastener.preprocessing.pipeline import Prepared
from fastener.preprocessing.registration import compose, inside_photo, invert, shrink

_SIDE = 800
# A background whose median comes this near to its brightest level is over-exposed: cameras flatten their response
# before they clip. From the first share on, the ratio of its channels is not the light's any more; from the second on
# nothing is left of it. Relative to the brightest level, so that a photo that was dimmed afterwards is known too.
_FLATTENED, _CLIPPED = 0.985, 0.9915
_BRIGHTEST = 99.5
# An even sheet may look flattened without being so: only near the end of the scale has light been lost.
_END_OF_SCALE = 250.0
# Shaded background, in parts of the brightest level: not flattened, nor so dark or coloured that it is another thing;
# at least so much of it, in parts of the part's area, which does not change when the sheet is larger.
_SHADE = (0.59, 0.92)
_MAX_SATURATION = 0.15
_MIN_SHARE = 0.002


@dataclass(frozen=True)
class Light:
    """What a white surface looks like in a shot: ``white`` float32 (3,) RGB 0..255.

    ``flattened``: the background is too bright to show the colour of the light itself. ``over_exposed``: light was
    lost to that. ``seen``: the colour of the light was seen, in the background or in its shade.
    """

    white: np.ndarray
    flattened: bool
    over_exposed: bool
    seen: bool

    @property
    def certain(self) -> bool:
        """Whether the colour of the light is known; that of a sheet which only looks flattened is its own."""
        return self.seen or (self.flattened and not self.over_exposed)


def find_light(photo: np.ndarray, prepared: Prepared) -> Light:
    """The light of a photo, uint8 RGB (H, W, 3), from its background.

    Where the background is over-exposed, the cast is read off its shaded parts: the ratio of the channels there is the
    light's, and the level of the brightest channel is the background's. Otherwise the background itself is white.
    """
    ground = _background(photo, prepared)
    if not prepared.white_is_background or not len(ground):
        return Light(prepared.white, False, False, prepared.white_is_background)
    level = float(prepared.white.max())
    brightest = float(np.percentile(ground.max(axis=1), _BRIGHTEST))
    if level < _FLATTENED * brightest:
        return Light(prepared.white, False, False, True)
    over_exposed = level >= _END_OF_SCALE
    ratio = _shade_ratio(_near(prepared), brightest, _MIN_SHARE * float(prepared.mask.sum()))
    if ratio is not None:
        return Light(level * ratio, True, over_exposed, True)
    return Light(prepared.white, True, over_exposed, level < _CLIPPED * brightest)


def share_the_light(lights: list[Light]) -> list[Light]:
    """Shots of one session: those that do not show the colour of the light take it from those that do."""
    ratios = [light.white / light.white.max() for light in lights if light.flattened and light.seen]
    if not ratios:
        return lights
    ratio = np.median(ratios, axis=0)
    return [
        replace(light, white=(light.white.max() * ratio).astype(np.float32), seen=True)
        if light.flattened and not light.seen
        else light
        for light in lights
    ]


def _background(photo: np.ndarray, prepared: Prepared) -> np.ndarray:
    """Pixels of the background some way from the part: float32 (n, 3)."""
    small, to_small = shrink(photo, _SIDE)
    from_frame = compose(to_small, invert(prepared.transform))
    mask = cv2.warpAffine(prepared.mask.astype(np.uint8), from_frame, (small.shape[1], small.shape[0]))
    reach = max(3, round(0.01 * max(small.shape)))
    away = cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) == 0
    return small[away].astype(np.float32)


def _near(prepared: Prepared) -> np.ndarray:
    """Pixels of the background beside the part, where its own shade falls and no scale bar is: float32 (n, 3)."""
    size = (prepared.mask.shape[0], prepared.mask.shape[1])
    reach = max(3, round(0.01 * max(size)))
    away = cv2.dilate(prepared.mask.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) == 0
    return prepared.photo[away & inside_photo(prepared.transform, prepared.photo_size, size)].astype(np.float32)


def _shade_ratio(ground: np.ndarray, brightest: float, least: float) -> np.ndarray | None:
    """The background's shade, each channel over the brightest: float32 (3,); None if under ``least`` pixels."""
    level, high, low = ground.mean(axis=1), ground.max(axis=1), ground.min(axis=1)
    shaded = (level >= _SHADE[0] * brightest) & (level < _SHADE[1] * brightest) & (high - low < _MAX_SATURATION * high)
    if shaded.sum() < least:
        return None
    ratio = np.median(ground[shaded] / high[shaded, None], axis=0)
    return np.asarray(ratio / ratio.max(), np.float32)


def neutralised(photo: np.ndarray, light: Light) -> np.ndarray:
    """The photo, uint8 RGB (H, W, 3), for a model that takes the background for white where it is flattened.

    The cast is taken out of all below the background's level, which is the most that any channel is left with.
    """
    if not (light.flattened and light.seen):
        return photo
    level = light.white.max()
    table = np.minimum(np.arange(256)[:, None] * (level / np.maximum(light.white, 1.0))[None, :], level)
    return np.asarray(cv2.LUT(photo, np.rint(table).astype(np.uint8)[None]), np.uint8)
