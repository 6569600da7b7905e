"""Convert photos to sRGB, from the colour space that their file states.

Colours are measured, so the same part must have the same colours in every file: phones write Display P3, cameras Adobe
RGB, editors ProPhoto. Read as sRGB, rust in ProPhoto is grey.
"""

from __future__ import annotations

import io
from functools import lru_cache

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageCms

UNREADABLE = "its colour profile cannot be read, so that its colours were taken for sRGB; save it as sRGB"
# Colour space of a profile -> Pillow's mode of photos that it describes.
_MODES = {"RGB": "RGB", "CMYK": "CMYK", "GRAY": "L"}
_NOTICEABLE = 2  # grey levels; profiles of sRGB itself differ by rounding
_ADOBE_GAMMA = 563 / 256
# Linear Adobe RGB (1998) to linear sRGB; both have the white point D65.
_ADOBE_TO_SRGB = np.array([[1.39836, -0.39836, 0.0], [0.0, 1.0, 0.0], [0.0, -0.04293, 1.04293]], np.float32)
_FINE = 4096  # steps of the table from linear light to sRGB


def to_srgb(image: Image.Image) -> tuple[Image.Image, str]:
    """Convert a photo of mode RGB, L, CMYK or LAB to RGB in sRGB; the second value says what could not be done, or "".

    A profile of another colour space than the photo's, such as of a photo that was made grey later, is left out.
    """
    if image.mode == "LAB":
        return _of_lab(image), ""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not profile:
        rgb = _rgb(image)
        return (Image.fromarray(_of_adobe(np.asarray(rgb))) if _is_adobe(image) else rgb), ""
    try:
        transform = _transform(profile, image.mode)
        converted = None if transform is None else transform.apply(image)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return _rgb(image), UNREADABLE
    return (_rgb(image) if converted is None else converted), ""


def _rgb(image: Image.Image) -> Image.Image:
    """Convert to RGB without copying an image that is RGB already."""
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Build the transform to sRGB; None where it would change nothing, or the profile is not of this mode."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if _MODES.get(str(source.profile.xcolor_space).strip()) != mode:
        return None
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    if mode != "RGB":
        return transform
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(27, 27, 3)
    changed = np.asarray(transform.apply(Image.fromarray(colours))).astype(int) - colours
    return transform if np.abs(changed).max() > _NOTICEABLE else None


def _is_adobe(image: Image.Image) -> bool:
    """Tell whether EXIF says Adobe RGB, as cameras do that embed no profile (DCF option file, "R03")."""
    if image.mode != "RGB" or image.format not in ("JPEG", "MPO", "TIFF"):
        return False
    exif = image.getexif()
    if ExifTags.IFD.Exif not in exif:
        return False
    space = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace)
    if space == 2:
        return True
    return space == 0xFFFF and exif.get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex) == "R03"


def _of_adobe(photo: np.ndarray) -> np.ndarray:
    """Convert Adobe RGB (1998) to sRGB, uint8 (H, W, 3)."""
    linear = cv2.LUT(photo, ((np.arange(256) / 255) ** _ADOBE_GAMMA).astype(np.float32))
    light = np.clip(cv2.transform(linear, _ADOBE_TO_SRGB), 0, 1)
    steps = np.arange(_FINE) / (_FINE - 1)
    curve = np.where(steps <= 0.0031308, 12.92 * steps, 1.055 * steps ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(255 * curve), np.uint8)[np.rint(light * (_FINE - 1)).astype(np.uint16)]


def _of_lab(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(lab, srgb, "LAB", "RGB").apply(image)
