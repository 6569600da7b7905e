"""Find the colour of the light in a shot, also where the background is too over-exposed to show it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from fastener.preprocessing.pipeline import Prepared
from fastener.preprocessing.registration import compose, inside_photo, invert, shrink

_SIDE = 800
# A background whose median comes near its brightest level is over-exposed: cameras flatten their response before they
# clip. Above the first share, the ratio of the channels no longer equals the light's. Above the second share, the ratio
# tells nothing at all. Both are shares of the brightest level, so that they also hold for a photo dimmed afterwards.
_FLATTENED, _CLIPPED = 0.985, 0.9915
_BRIGHTEST = 99.5
# Grey value from which a channel is burnt out. An even sheet may look flattened without being over-exposed: light is
# lost only from this value on.
BURNT_OUT = 250
# Of a photo that was darkened after its background had burnt out, at least the second share of the pixels has the
# highest grey value, or the one below it. The few pixels above the first quantile are specks.
_HIGHEST, _CROWDED = 0.9999, 0.05
# Shaded background lies within these shares of the brightest level: not flattened, and not so dark or coloured that it
# is something else. It must cover at least this share of the part's area, which does not depend on the sheet's size.
_SHADE = (0.59, 0.92)
_MAX_SATURATION = 0.15
_MIN_SHARE = 0.002


@dataclass(frozen=True)
class Light:
    """Describe the light of a shot.

    Parameters
    ----------
    white
        Colour of a white surface in the shot, RGB 0 to 255, float32 (3,).
    flattened
        Whether the background is so bright that the ratio of its channels may not be the light's.
    over_exposed
        Whether the background is over-exposed, so that light was lost.
    seen
        Whether the background or its shade shows the colour of the light.
    """

    white: np.ndarray
    flattened: bool
    over_exposed: bool
    seen: bool

    @property
    def certain(self) -> bool:
        """Whether the colour of the light is known. A sheet that only looks flattened still shows it."""
        return self.seen or (self.flattened and not self.over_exposed)


def find_light(photo: np.ndarray, prepared: Prepared) -> Light:
    """Find the light of a photo, uint8 RGB (H, W, 3), from its background.

    If the background is over-exposed, its shaded parts give the ratio of the channels, and the background itself gives
    the level of the brightest channel. Otherwise the background is taken for white.
    """
    ground = _background(photo, prepared)
    if not prepared.white_is_background or not len(ground):
        return Light(prepared.white, False, False, prepared.white_is_background)
    level = float(prepared.white.max())
    brightest = float(np.percentile(ground.max(axis=1), _BRIGHTEST))
    if level < _FLATTENED * brightest:
        return Light(prepared.white, False, False, True)
    over_exposed = level >= BURNT_OUT
    ratio = _shade_ratio(_near(prepared), brightest, _MIN_SHARE * float(prepared.mask.sum()))
    if ratio is not None:
        return Light(level * ratio, True, over_exposed, True)
    return Light(prepared.white, True, over_exposed, level < _CLIPPED * brightest)


def share_the_light(lights: list[Light]) -> list[Light]:
    """Give shots that do not show the colour of the light the colour that other shots of the same session show."""
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


def is_cut_off(white: np.ndarray, photo: np.ndarray) -> bool:
    """Tell whether the background is cut off at the top of a photo's grey values, also if the photo was darkened later.

    ``white`` (3,) is the background's colour, RGB 0 to 255, in the photo, uint8 RGB (h, w, 3). ``Light.over_exposed``
    looks at the spread of the full-size background instead, and so misses photos that were darkened later.
    """
    lightest = photo.max(axis=2)
    highest = float(np.quantile(lightest, _HIGHEST))
    crowded = bool((lightest >= highest - 1).mean() >= _CROWDED)
    return bool(white.max() >= (BURNT_OUT / 255 * highest if crowded else BURNT_OUT))


def burnt_out(photo: np.ndarray, white: np.ndarray) -> np.ndarray:
    """Find where a photo, uint8 RGB (h, w, 3), is burnt out in all channels: bool (h, w).

    Where the background is burnt out, ``white`` (3,) is the light's own colour, RGB 0 to 255: in coloured light the
    weaker channels of a burnt-out place stay below the highest grey value, as the sheet's do.
    """
    least = np.minimum(BURNT_OUT, _FLATTENED * white) if white.max() >= BURNT_OUT else np.full(3, BURNT_OUT)
    return np.asarray((photo >= least).all(axis=2))


def _background(photo: np.ndarray, prepared: Prepared) -> np.ndarray:
    """Return pixels of the background at some distance from the part: float32 (n, 3)."""
    small, to_small = shrink(photo, _SIDE)
    from_frame = compose(to_small, invert(prepared.transform))
    mask = cv2.warpAffine(prepared.mask.astype(np.uint8), from_frame, (small.shape[1], small.shape[0]))
    reach = max(3, round(0.01 * max(small.shape)))
    away = cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) == 0
    return np.asarray(small[away], np.float32)


def _near(prepared: Prepared) -> np.ndarray:
    """Return pixels of the background near the part, where its shade falls and no scale bar lies: float32 (n, 3)."""
    size = (prepared.mask.shape[0], prepared.mask.shape[1])
    reach = max(3, round(0.01 * max(size)))
    away = cv2.dilate(prepared.mask.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) == 0
    away &= inside_photo(prepared.transform, prepared.photo_size, size)
    return np.asarray(prepared.photo[away], np.float32)


def _shade_ratio(ground: np.ndarray, brightest: float, least: float) -> np.ndarray | None:
    """Measure the shaded background, each channel over the brightest: float32 (3,); None below ``least`` pixels."""
    level, high, low = ground.mean(axis=1), ground.max(axis=1), ground.min(axis=1)
    shaded = (level >= _SHADE[0] * brightest) & (level < _SHADE[1] * brightest) & (high - low < _MAX_SATURATION * high)
    if shaded.sum() < least:
        return None
    ratio = np.median(ground[shaded] / high[shaded, None], axis=0)
    return np.asarray(ratio / ratio.max(), np.float32)


def neutralised(photo: np.ndarray, light: Light) -> np.ndarray:
    """Remove the light's cast from a photo, uint8 RGB (H, W, 3), whose over-exposed background hides it.

    The model takes the background for white and would not correct the cast. Each channel is scaled and cut off at the
    level of the background. Other photos are returned as they are.
    """
    if not (light.flattened and light.seen):
        return photo
    level = light.white.max()
    table = np.minimum(np.arange(256)[:, None] * (level / np.maximum(light.white, 1.0))[None, :], level)
    return np.asarray(cv2.LUT(photo, np.rint(table).astype(np.uint8)[None]), np.uint8)
