"""From a photo to the canonical frame and back: every step in its fixed order, one affine transform throughout."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from fastener.config import PreprocessSettings
from fastener.preprocessing.lighting import (
    equalise_lightness,
    gray_world_gains,
    inpaint_highlights,
    white_balance,
    white_reference,
)
from fastener.preprocessing.registration import (
    compose,
    frame_transform,
    inside_photo,
    invert,
    part_transform,
    shrink,
    upright_angle,
    warp,
)
from fastener.preprocessing.segmentation import Part, find_part

# The part is sought on a copy of at most this many pixels a side; light is corrected on one of at most the other.
_SEARCH_SIDE = 800
_LIGHT_SIDE = 2400
_SEEN_BY_PEOPLE = 1024


@dataclass(frozen=True)
class Prepared:
    """A photo in the canonical frame of (h, w) pixels.

    image: uint8 (h, w, 3) RGB, what the model sees: light corrected, background filled with one grey.
    mask: bool (h, w), the part; where none was sought or found, all that lies inside the photo.
    photo: uint8 (h, w, 3) RGB, the unprocessed photo in the same frame, its border repeated outside.
    transform: float64 (2, 3), photo px to canonical px, pixel centres at whole numbers.
    photo_size: (height, width) of the photo.
    white: float32 (3,) RGB 0..255, the colour of a white surface in the photo, see ``white_reference``.
    white_is_background: whether ``white`` was seen as the background or had to be estimated.
    part_found: False when no part was found and the frame shows the whole photo instead.
    """

    image: np.ndarray
    mask: np.ndarray
    photo: np.ndarray
    transform: np.ndarray
    photo_size: tuple[int, int]
    white: np.ndarray
    white_is_background: bool
    part_found: bool

    def of_photo(self, size: tuple[int, int]) -> Prepared:
        """The same, of the photo of ``size`` (height, width) of which a copy of another size was prepared."""
        if size == self.photo_size:
            return self
        to_copy = frame_transform(size, self.photo_size)
        return replace(self, transform=compose(self.transform, to_copy), photo_size=size)


class Preprocessor:
    """Bring photos into the canonical frame.

    The order is fixed: gray-world white balance, highlight inpainting, CLAHE on L*, mask, crop with padding,
    alignment by moments, scaling to the model's input, background fill. With ``settings.enabled`` off the photo's
    centre is only stretched to the frame.

    The mask compares colours from before CLAHE, which amplifies the ground's noise tile by tile: with web
    photos made 20 % darker, masks overlap their originals by 0.98 so and by 0.89 after CLAHE. It is found first,
    as inpainting needs it to tell the part's highlights from the ground.
    """

    def __init__(self, settings: PreprocessSettings) -> None:
        self.settings = settings

    def __call__(self, photo: np.ndarray) -> Prepared:
        """Prepare one photo, uint8 RGB (H, W, 3)."""
        return self._aligned(photo) if self.settings.enabled else self._plain(photo)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the canonical frame."""
        size = self.settings.size
        return (size, size) if isinstance(size, int) else size

    @property
    def useful_side(self) -> int:
        """A photo whose longer side has fewer pixels is seen less well; more than twice as many change next to nothing.

        Four photo pixels a pixel of the frame; where the part is sought it may fill a fraction of the photo only. What
        is seen by people, too, has enough for them.
        """
        side = max(self.size)
        if self.settings.enabled:
            return max(2 * _SEARCH_SIDE, 6 * side)
        return max(_SEEN_BY_PEOPLE, round(4 * side / self.settings.center_crop))

    def _plain(self, photo: np.ndarray) -> Prepared:
        photo_size = photo.shape[:2]
        transform = frame_transform(photo_size, self.size, self.settings.center_crop)
        drawn = warp(photo, transform, self.size)
        small = shrink(photo, _SEARCH_SIDE)[0]
        white, is_background = white_reference(small, np.ones(small.shape[:2], bool))
        return Prepared(
            image=drawn,
            mask=np.ones(self.size, bool),
            photo=drawn.copy(),
            transform=transform,
            photo_size=photo_size,
            white=white,
            white_is_background=is_background,
            part_found=True,
        )

    def _aligned(self, photo: np.ndarray) -> Prepared:
        settings, photo_size = self.settings, photo.shape[:2]
        small, to_small = shrink(photo, _SEARCH_SIDE)
        gains = gray_world_gains(small) if settings.white_balance else np.ones(3, np.float32)
        part = find_part(white_balance(small, gains))
        lit = self._correct_light(small, gains, part)
        angle = upright_angle(part.mask) if settings.align and part.found and part.pieces == 1 else 0.0
        padding = settings.padding if part.found else 0.0
        transform = part_transform(part.mask, to_small, angle, padding, self.size)

        from_small = compose(transform, invert(to_small))
        lit_transform = from_small
        zoom = float(np.linalg.norm(from_small[:, 0]))
        if zoom > 1.0 and max(photo_size) > _SEARCH_SIDE:
            # The frame shows more detail than the search copy has.
            larger, to_larger = shrink(photo, min(round(zoom * _SEARCH_SIDE), _LIGHT_SIDE))
            lit = self._correct_light(larger, gains, part)
            lit_transform = compose(transform, invert(to_larger))
        image = warp(lit, lit_transform, self.size)
        mask = warp(part.mask.astype(np.uint8) * 255, from_small, self.size) >= 128
        mask &= inside_photo(transform, photo_size, self.size)
        image[~mask] = settings.background
        white, is_background = white_reference(small, part.mask)
        return Prepared(
            image=image,
            mask=mask,
            photo=warp(photo, transform, self.size),
            transform=transform,
            photo_size=photo_size,
            white=white,
            white_is_background=is_background,
            part_found=part.found,
        )

    def _correct_light(self, photo: np.ndarray, gains: np.ndarray, part: Part) -> np.ndarray:
        settings = self.settings
        lit = white_balance(photo, gains)
        if settings.inpaint_highlights and part.found:
            size = (photo.shape[1], photo.shape[0])
            mask = cv2.resize(part.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
            lit = inpaint_highlights(lit, mask, settings.highlight_level)
        return equalise_lightness(lit, settings.clahe_clip_limit, settings.clahe_tiles)


def map_to_photo(map_: np.ndarray, transform: np.ndarray, photo_size: tuple[int, int]) -> np.ndarray:
    """A map of the canonical frame, (h, w), in the photo's frame: float32 (H, W), NaN where the frame did not look."""
    size = (photo_size[1], photo_size[0])
    flags = cv2.WARP_INVERSE_MAP
    drawn = cv2.warpAffine(
        map_.astype(np.float32), transform, size, flags=flags | cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    looked = cv2.warpAffine(np.ones(map_.shape, np.uint8), transform, size, flags=flags | cv2.INTER_NEAREST)
    drawn[looked == 0] = np.nan
    return drawn
