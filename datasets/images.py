"""Decode image files of any common format, depth or colour model to uint8 RGB, and list the images of a folder."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from fastener.common.errors import UserError

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
# Photos of these kinds cannot be read; callers warn of them, so that nobody believes they were inspected.
OTHER_IMAGES = frozenset({".arw", ".avif", ".cr2", ".cr3", ".dng", ".heic", ".heif", ".jp2", ".jxl", ".nef", ".orf"})
MIN_SIDE = 20
MAX_PIXELS = 12_000 * 12_000
# Sensors deliver 8, 12 or 16 bits; a 16-bit file may hold any of these, right-aligned.
_FULL_SCALES = (255.0, 4095.0, 65535.0)
# Pillow knows more formats, but some of them start other programs (EPS).
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
_LYING = range(5, 9)  # EXIF orientations whose rows are columns
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error)


class ImageTooLarge(UserError):
    """Raised for an image with too many pixels, which its header tells before anything is decoded."""


def read_image(path: Path) -> np.ndarray:
    """Read an image file as uint8 RGB, shape (H, W, 3).

    The EXIF orientation is applied, transparency is composited on white, CMYK is converted, and of several frames the
    first is taken. Greys deeper than 8 bits are scaled by the range they were stored with, see ``deep_to_uint8``.

    Raises ``UserError`` for a file that is missing, damaged, no image, under 20 px or over 144 megapixels.
    """
    with opened(Path(path)) as image:
        return rgb_of(image)


def read_reduced(path: Path, longest: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Read an image file at a reduced size; return the pixels and the (height, width) of the full-size image.

    A JPEG whose longer side is twice ``longest`` or more is decoded at a half, a quarter or an eighth of its size,
    which averages pixels while it decodes and takes a fraction of the time. Its longer side keeps at least ``longest``
    pixels. Other images are decoded at full size.
    """
    with opened(Path(path)) as image:
        return _reduced(image, longest)


def decode_reduced(
    file: BinaryIO, name: str, longest: int, max_pixels: int = MAX_PIXELS
) -> tuple[np.ndarray, tuple[int, int]]:
    """Decode an open file, or bytes in memory, as ``read_reduced`` does; for ``name`` see ``decode_image``."""
    with _image_in(file, name, max_pixels) as image:
        return _reduced(image, longest)


def decode_image(file: BinaryIO, name: str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode an open file, or bytes in memory, as ``read_image`` does; errors call the image ``name``.

    Raises ``ImageTooLarge`` over ``max_pixels``, and ``UserError`` like ``read_image``.
    """
    with _image_in(file, name, max_pixels) as image:
        return rgb_of(image)


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open an image file whose size can be read; any exception of Pillow while it is open becomes a ``UserError``."""
    try:
        if not path.is_file():
            missing = "a link that leads to no file" if path.is_symlink() else "no such file"
            raise UserError(f"{path}: {missing}; check the path")
        with path.open("rb") as file, _image_in(file, str(path), MAX_PIXELS) as image:
            yield image
    except PermissionError as error:
        raise UserError(f"{path}: not allowed to read this file; check its permissions") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check the path and the disk") from error


@contextmanager
def _image_in(file: BinaryIO, name: str, max_pixels: int) -> Iterator[Image.Image]:
    try:
        with Image.open(file, formats=_FORMATS) as image:
            _check_size(name, image.size, max_pixels)
            yield image
    except UnidentifiedImageError as error:
        raise UserError(f"{name}: not an image that can be read; convert it to PNG, JPEG or TIFF") from error
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(_too_large(name, max_pixels)) from error
    except _DECODE_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{name}: damaged or unsupported image ({reason}); export or copy it again") from error


def _reduced(image: Image.Image, longest: int) -> tuple[np.ndarray, tuple[int, int]]:
    width, height = image.size
    reduction = max(1, max(width, height) // longest)
    image.draft(None, (max(1, width // reduction), max(1, height // reduction)))
    came_whole = image.size == (width, height)
    lies = image.getexif().get(ExifTags.Base.Orientation, 1) in _LYING
    pixels = rgb_of(image)
    if came_whole:
        return pixels, (pixels.shape[0], pixels.shape[1])
    return pixels, (width, height) if lies else (height, width)


def image_size(path: Path) -> tuple[int, int]:
    """Read the (height, width) of an image from its header, turned as its EXIF orientation says.

    Raises UserError for a file that is missing or no image.
    """
    with opened(Path(path)) as image:
        width, height = image.size
        lies = image.getexif().get(ExifTags.Base.Orientation, 1) in _LYING
    return (width, height) if lies else (height, width)


def rgb_of(image: Image.Image) -> np.ndarray:
    """Convert a Pillow image of any mode to uint8 RGB (H, W, 3), turned as its EXIF orientation says."""
    image.load()
    return _to_rgb(ImageOps.exif_transpose(image))


def shrunk(photo: np.ndarray, side: int) -> np.ndarray:
    """Shrink a photo, uint8 RGB (H, W, 3), until its longer side has at most ``side`` pixels; small ones stay."""
    scale = min(1.0, side / max(photo.shape[:2]))
    if scale == 1.0:
        return photo
    size = (max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale)))
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)


def list_images(folder: Path, recursive: bool = True) -> list[Path]:
    """List the image files in ``folder``, sorted by path. Suffixes compare without case; hidden files are skipped.

    A link counts as the file that it leads to, and a link that leads nowhere counts as a file, so that no image is
    missed in silence. Folders behind links and hidden folders are not searched. Raises ``UserError`` if the folder is
    missing or holds no image, or if it or a folder in it may not be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; check the path")
    seen = [folder]
    seen += _visible(folder, recursive)
    found = []
    for path in seen:
        if path.is_dir():
            if not os.access(path, os.R_OK | os.X_OK) and (recursive or path == folder):
                raise UserError(f"{path}: not allowed to read this folder; check its permissions")
        elif path.suffix.lower() in IMAGE_SUFFIXES and (path.is_file() or path.is_symlink()):
            found.append(path)
    if not found and not recursive and unsearched(folder):
        raise UserError(f"{folder}: holds no image, but folders; search them too with --recursive")
    if not found:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise UserError(f"{folder}: holds no image; put files of these kinds there: {kinds}")
    return sorted(found)


def not_readable(folder: Path, recursive: bool = True) -> list[Path]:
    """List the photos in ``folder`` that ``list_images`` skips because their kind cannot be read (HEIC, raw)."""
    return sorted(path for path in _visible(folder, recursive) if path.suffix.lower() in OTHER_IMAGES)


def unsearched(folder: Path) -> int:
    """Count the folders in ``folder``, without hidden ones, that ``list_images`` skips unless it is recursive."""
    return sum(path.is_dir() for path in _visible(folder, recursive=False))


def _visible(folder: Path, recursive: bool) -> Iterator[Path]:
    """Yield the contents of a folder, and of its subfolders if ``recursive``, without hidden files and folders."""
    for path in folder.rglob("*") if recursive else folder.glob("*"):
        if not any(name.startswith(".") for name in path.relative_to(folder).parts):
            yield path


def deep_to_uint8(values: np.ndarray) -> np.ndarray:
    """Convert grey levels of any depth, shape (H, W), to uint8.

    Whole numbers are divided by the smallest full scale of 8, 12 or 16 bits that holds their maximum, not by the
    maximum itself, so that two shots of one camera keep their relative brightness. Floats within 0 to 1 count as
    that range. Anything else (negative, or over 16 bits) is stretched from its minimum to its maximum. Values
    that are not finite become black.
    """
    grey = np.where(np.isfinite(values), values, 0).astype(np.float32)
    low, high = float(grey.min()), float(grey.max())
    if np.issubdtype(values.dtype, np.floating) and low >= 0.0 and high <= 1.0:
        full = 1.0
    elif low >= 0.0 and high <= _FULL_SCALES[-1]:
        full = next(scale for scale in _FULL_SCALES if high <= scale)
    else:
        grey, full = grey - low, max(high - low, 1e-12)
    return np.asarray(np.rint(grey * (255.0 / full)), np.uint8)


def _check_size(name: str, size: tuple[int, int], max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise ImageTooLarge(_too_large(name, max_pixels))
    if min(size) < MIN_SIDE:
        raise UserError(f"{name}: {size[0]}x{size[1]} px is too small; give at least {MIN_SIDE} px on each side")


def _too_large(name: str, max_pixels: int) -> str:
    return f"{name}: more than {max_pixels / 1e6:.0f} megapixels; shrink it first"


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith(("I", "F")):
        grey = deep_to_uint8(np.asarray(image))
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, "white")
        image = Image.alpha_composite(ground, layer)
    return np.array(image.convert("RGB"))
