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

# Longest side, in pixels, of the shrunk copy on which the part is sought, and of the copy on which light is corrected.
_SEARCH_SIDE = 800
_LIGHT_SIDE = 2400
_SEEN_BY_PEOPLE = 1024
_UPRIGHT = {
    "enabled": True,
    "align": True,
    "white_balance": False,
    "inpaint_highlights": False,
    "clahe_clip_limit": 0.0,
}


@dataclass(frozen=True)
class Prepared:
    """Hold a photo in the canonical frame of (h, w) pixels.

    Attributes
    ----------
    image : ndarray of uint8, (h, w, 3)
        RGB picture for the model: the light is corrected, and one grey fills the background.
    mask : ndarray of bool, (h, w)
        Pixels of the part. Where no part was sought or found, all pixels that lie inside the photo.
    photo : ndarray of uint8, (h, w, 3)
        The unprocessed photo in the same frame, RGB; the photo's border is repeated outside of it.
    transform : ndarray of float64, (2, 3)
        Affine transform from photo pixels to frame pixels; pixel centres lie at whole numbers.
    photo_size : tuple of int
        (height, width) of the photo in pixels.
    white : ndarray of float32, (3,)
        RGB colour of a white surface in the photo, 0 to 255, see ``white_reference``.
    white_is_background : bool
        Whether ``white`` was measured on the background; otherwise it is an estimate.
    part_found : bool
        False if a part was sought and not found, so that the frame shows the whole photo.
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
        """Return this result in the coordinates of the full-size photo of ``size`` (height, width)."""
        if size == self.photo_size:
            return self
        to_copy = frame_transform(size, self.photo_size)
        return replace(self, transform=compose(self.transform, to_copy), photo_size=size)


class Preprocessor:
    """Bring photos into the canonical frame.

    The steps have a fixed order: gray-world white balance, highlight inpainting, CLAHE on L*, mask, crop with padding,
    alignment by moments, scaling to the model's input, background fill. With ``settings.enabled`` off, the centre of
    the photo is stretched to the frame and nothing else is done; or, with ``settings.upright``, the light stays as it
    is. Here null, which training settles, counts as on.

    The mask is found on the colours before CLAHE, because CLAHE amplifies the noise of the ground. On web photos that
    were made 20 % darker, such a mask overlaps the mask of the original by 0.98; a mask found after CLAHE, by 0.89.
    The mask is found before inpainting, because inpainting must tell highlights on the part from bright ground.

    Parameters
    ----------
    settings : PreprocessSettings
        Size of the frame in pixels, and which steps are done.

    Examples
    --------
    >>> from fastener.config import PreprocessSettings
    >>> from fastener.datasets.synthetic.parts import render_part
    >>> prepared = Preprocessor(PreprocessSettings(size=64))(render_part(0, "nut", size=(96, 96)).image)
    >>> prepared.image.shape, prepared.part_found
    ((64, 64, 3), True)
    """

    def __init__(self, settings: PreprocessSettings) -> None:
        if settings.enabled is None:
            settings = settings.model_copy(update={"enabled": True})
        self.settings = settings if settings.enabled or not settings.upright else settings.model_copy(update=_UPRIGHT)

    def __call__(self, photo: np.ndarray, part: Part | None = None) -> Prepared:
        """Prepare one photo, uint8 RGB (H, W, 3). ``part``, from ``find``, saves searching the photo for it again."""
        return self._aligned(photo, part) if self.settings.enabled else self._plain(photo)

    def find(self, photo: np.ndarray) -> Part:
        """Find the part in a photo, uint8 RGB (H, W, 3), for one or several frames of the same photo."""
        small = shrink(photo, _SEARCH_SIDE)[0]
        return find_part(white_balance(small, self._gains(small)), self.settings.smallest_piece)

    def tiles(self, photo: np.ndarray, photo_size: tuple[int, int] | None = None) -> tuple[Prepared, ...]:
        """Prepare one photo, uint8 RGB (H, W, 3), as one or several frames; this class makes one.

        ``photo_size`` is the (height, width) of the full-size photo if ``photo`` is a shrunk copy of it. A subclass may
        return several frames, each with its own transform: the inspector scores every frame and joins the results.
        """
        return (self(photo).of_photo(photo_size or photo.shape[:2]),)

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width) of the canonical frame, in pixels."""
        size = self.settings.size
        return (size, size) if isinstance(size, int) else size

    @property
    def useful_side(self) -> int:
        """Longest side worth decoding, in pixels: less loses detail, over twice this changes almost nothing.

        Without a search for the part these are four photo pixels for each pixel of the frame, and at least enough for a
        picture that people look at. With a search there are more, as the part may fill a fraction of the photo.
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

    def _aligned(self, photo: np.ndarray, part: Part | None) -> Prepared:
        settings, photo_size = self.settings, photo.shape[:2]
        small, to_small = shrink(photo, _SEARCH_SIDE)
        gains = self._gains(small)
        part = part or find_part(white_balance(small, gains), settings.smallest_piece)
        lit = self._correct_light(small, gains, part)
        angle = upright_angle(part.mask) if settings.align and part.found and part.pieces == 1 else 0.0
        padding = settings.padding if part.found else 0.0
        transform = part_transform(part.mask, to_small, angle, padding, self.size)

        from_small = compose(transform, invert(to_small))
        lit_transform = from_small
        zoom = float(np.linalg.norm(from_small[:, 0]))
        if zoom > 1.0 and max(photo_size) > _SEARCH_SIDE:
            # The frame shows more detail than the copy on which the part was sought.
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

    def _gains(self, small: np.ndarray) -> np.ndarray:
        return gray_world_gains(small) if self.settings.white_balance else np.ones(3, np.float32)

    def _correct_light(self, photo: np.ndarray, gains: np.ndarray, part: Part) -> np.ndarray:
        settings = self.settings
        lit = white_balance(photo, gains)
        if settings.inpaint_highlights and part.found:
            size = (photo.shape[1], photo.shape[0])
            mask = cv2.resize(part.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
            lit = inpaint_highlights(lit, mask, settings.highlight_level)
        return equalise_lightness(lit, settings.clahe_clip_limit, settings.clahe_tiles)


def map_to_photo(map_: np.ndarray, transform: np.ndarray, photo_size: tuple[int, int]) -> np.ndarray:
    """Draw a map of the canonical frame, (h, w), in the photo's frame: float32 (H, W), NaN outside of the frame.

    ``transform`` (2, 3) takes photo pixels to frame pixels; ``photo_size`` is (height, width).
    """
    size = (photo_size[1], photo_size[0])
    flags = cv2.WARP_INVERSE_MAP
    drawn = cv2.warpAffine(
        map_.astype(np.float32), transform, size, flags=flags | cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    looked = cv2.warpAffine(np.ones(map_.shape, np.uint8), transform, size, flags=flags | cv2.INTER_NEAREST)
    drawn[looked == 0] = np.nan
    return drawn
