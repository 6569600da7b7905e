"""Decode image files of any common format, depth or colour space to uint8 sRGB."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from fastener.common.errors import UserError
from fastener.datasets.colour_profiles import to_srgb
from fastener.datasets.deep_files import Levels, is_deep, is_tiff, levels_of, refused, tiff_levels
from fastener.datasets.jpeg_scans import has_too_many_scans, most_scans
from fastener.datasets.levels import Reach, WhiteLevel, scaled
from fastener.datasets.listing import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from fastener.datasets.listing import list_images as list_images
from fastener.datasets.strips import rgb_array

MIN_SIDE = 20
MAX_PIXELS = 12_000 * 12_000
# Pillow knows more formats, but some of them start other programs (EPS).
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
_LYING = range(5, 9)  # EXIF orientations whose rows are columns
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error)
_SUBFILE = 254  # TIFF tag; its lowest bit says that a page is a thumbnail, its third that it is a mask
# EXIF orientation -> what turns an array (H, W, ...) upright.
_TURNS = {
    2: lambda array: array[:, ::-1],
    3: lambda array: array[::-1, ::-1],
    4: lambda array: array[::-1],
    5: lambda array: array.swapaxes(0, 1),
    6: lambda array: array.swapaxes(0, 1)[:, ::-1],
    7: lambda array: array[::-1, ::-1].swapaxes(0, 1),
    8: lambda array: array.swapaxes(0, 1)[::-1],
}


class ImageTooLarge(UserError):
    """Raised for an image with too many pixels, which its header tells before anything is decoded."""


@dataclass(frozen=True)
class Photo:
    """Hold a decoded image.

    Parameters
    ----------
    pixels : ndarray of uint8, (H, W, 3)
        sRGB, turned upright as EXIF says; of a large JPEG possibly at a reduced size.
    size : tuple of int
        (height, width) of the full-size image.
    notes : tuple of str
        What the user should know about how it was read, such as that only the first of its pages was.
    is_deep : bool
        Whether the file has more than 8 bits a sample.
    """

    pixels: np.ndarray
    size: tuple[int, int]
    notes: tuple[str, ...] = ()
    is_deep: bool = False


def read_photo(path: Path, *, longest: int | None = None, white_level: WhiteLevel = None) -> Photo:
    """Read an image file.

    The EXIF orientation is applied, transparency is composited on white (an opacity that is the same everywhere says
    nothing and is left out), colours are converted to sRGB by the embedded profile, and of several pages or frames the
    first is taken. Levels deeper than 8 bits are scaled by ``white_level``, see datasets/levels.py.

    With ``longest``, a JPEG whose longer side is twice that or more is decoded at a half, a quarter or an eighth of its
    size, which averages pixels while it decodes and takes a fraction of the time. Its longer side keeps at least
    ``longest`` pixels. Other images are decoded at full size.

    Raises ``UserError`` for a file that is missing, damaged, no image, of colours that cannot be told, under 20 px or
    over 144 megapixels (WebP: half of that).
    """
    with _opened_file(Path(path)) as file:
        return decode_photo(file, str(path), longest=longest, white_level=white_level)


def decode_photo(
    file: BinaryIO,
    name: str,
    *,
    longest: int | None = None,
    white_level: WhiteLevel = None,
    max_pixels: int = MAX_PIXELS,
) -> Photo:
    """Decode an open file, or bytes in memory, as ``read_photo`` does; errors call the image ``name``.

    Raises ``ImageTooLarge`` over ``max_pixels``, and ``UserError`` like ``read_photo``.
    """
    try:
        with _image_in(file, name, max_pixels) as image:
            return _photo(image, file, name, longest=longest, white_level=white_level, max_pixels=max_pixels)
    except _Unidentified as error:
        file.seek(0)
        if not is_tiff(file.read(4)):
            raise UserError(str(error)) from None
        return _photo_of_tiff(file, name, white_level, max_pixels)


def read_image(path: Path, white_level: WhiteLevel = None) -> np.ndarray:
    """Read an image file as uint8 RGB, (H, W, 3), see ``read_photo``."""
    return read_photo(path, white_level=white_level).pixels


def read_reduced(path: Path, longest: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Read an image file at a reduced size; return the pixels and the (height, width) of the full-size image."""
    photo = read_photo(path, longest=longest)
    return photo.pixels, photo.size


def decode_reduced(
    file: BinaryIO, name: str, longest: int, max_pixels: int = MAX_PIXELS
) -> tuple[np.ndarray, tuple[int, int]]:
    """Decode an open file, or bytes in memory, as ``read_reduced`` does; for ``name`` see ``decode_photo``."""
    photo = decode_photo(file, name, longest=longest, max_pixels=max_pixels)
    return photo.pixels, photo.size


def decode_image(file: BinaryIO, name: str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode an open file, or bytes in memory, as ``read_image`` does; for ``name`` see ``decode_photo``."""
    return decode_photo(file, name, max_pixels=max_pixels).pixels


def reach_of(path: Path) -> Reach | None:
    """Measure where the levels of a file deeper than 8 bits end; None for a file of 8 bits, which is not decoded.

    Raises ``UserError`` as ``read_photo`` does.
    """
    with _opened_file(Path(path)) as file:
        try:
            with _image_in(file, str(path), MAX_PIXELS) as image:
                levels = _levels(image, file, MAX_PIXELS) if is_deep(image) else None
        except _Unidentified as error:
            file.seek(0)
            if not is_tiff(file.read(4)):
                raise UserError(str(error)) from None
            levels = _tiff(file, str(path), MAX_PIXELS)
    return None if levels is None or levels.values.dtype == np.uint8 else Reach.of(levels.values, levels.bits)


def image_size(path: Path) -> tuple[int, int]:
    """Read the (height, width) of an image from its header, turned as its EXIF orientation says.

    Raises UserError for a file that is missing or no image.
    """
    try:
        with opened(Path(path)) as image:
            width, height = image.size
            lies = image.getexif().get(ExifTags.Base.Orientation, 1) in _LYING
    except _Unidentified:
        return read_photo(path).size
    return (width, height) if lies else (height, width)


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open an image file whose size can be read; any exception of Pillow while it is open becomes a ``UserError``."""
    with _opened_file(path) as file, _image_in(file, str(path), MAX_PIXELS) as image:
        yield image


def rgb_of(image: Image.Image, white_level: WhiteLevel = None) -> np.ndarray:
    """Convert a Pillow image of any mode to uint8 RGB (H, W, 3), turned as its EXIF orientation says."""
    image.load()
    if image.mode.startswith(("I", "F")) and white_level != "brightest":
        return _rgb_of_levels(Levels(np.asarray(ImageOps.exif_transpose(image))), white_level)[0]
    own = ImageOps.exif_transpose(image)
    own.format = image.format
    return _to_rgb(own)[0]


def shrunk(photo: np.ndarray, side: int) -> np.ndarray:
    """Shrink a photo, uint8 RGB (H, W, 3), until its longer side has at most ``side`` pixels; small ones stay."""
    scale = min(1.0, side / max(photo.shape[:2]))
    if scale == 1.0:
        return photo
    size = (max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale)))
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)


class _Unidentified(UserError):
    """Raised for a file in which Pillow finds no image."""


@contextmanager
def _opened_file(path: Path) -> Iterator[BinaryIO]:
    try:
        if not path.is_file():
            if path.is_dir():
                raise UserError(f"{path}: is a folder; name a file, or its folder with --dir")
            missing = "a link that leads to no file" if path.is_symlink() else "no such file"
            raise UserError(f"{path}: {missing}; check the path")
        with path.open("rb") as file:
            yield file
    except PermissionError as error:
        raise UserError(f"{path}: not allowed to read this file; check its permissions") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check the path and the disk") from error


@contextmanager
def _image_in(file: BinaryIO, name: str, max_pixels: int) -> Iterator[Image.Image]:
    try:
        with Image.open(file, formats=_FORMATS) as image:
            # Pillow's decoder of WebP holds four copies of a picture, 16 bytes a pixel.
            _check_size(name, image.size, max_pixels // 2 if image.format == "WEBP" else max_pixels)
            yield image
    except UnidentifiedImageError as error:
        raise _Unidentified(f"{name}: not an image that can be read; convert it to PNG, JPEG or TIFF") from error
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(_too_large(name, max_pixels)) from error
    except _DECODE_ERRORS as error:
        raise refused(name, error) from error


def _photo(
    image: Image.Image, file: BinaryIO, name: str, *, longest: int | None, white_level: WhiteLevel, max_pixels: int
) -> Photo:
    scans = most_scans(image.width * image.height)
    if image.format == "JPEG" and has_too_many_scans(file, scans):
        raise UserError(f"{name}: a JPEG of more than {scans} scans, which would take minutes; save it again")
    deep, notes = is_deep(image), [_further_pages(image)]  # asked first, as Pillow may load a PNG for its EXIF
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    if deep and white_level != "brightest":
        try:
            levels = _levels(image, file, max_pixels)
        except Exception as error:  # codecs of TIFF files raise exceptions of their own
            raise refused(name, error) from error
        pixels, note = _rgb_of_levels(levels, white_level)
        pixels = np.ascontiguousarray(_TURNS[orientation](pixels)) if orientation in _TURNS else pixels
        return Photo(pixels, (pixels.shape[0], pixels.shape[1]), _told(*notes, note), levels.values.dtype != np.uint8)
    width, height = image.size
    if longest is not None:
        reduction = max(1, max(width, height) // longest)
        image.draft(None, (max(1, width // reduction), max(1, height // reduction)))
    came_whole = image.size == (width, height)
    image.load()
    pixels, note = _to_rgb(image)
    if came_whole:
        width, height = pixels.shape[1], pixels.shape[0]
    elif orientation in _LYING:
        width, height = height, width
    return Photo(pixels, (height, width), _told(*notes, note))


def _levels(image: Image.Image, file: BinaryIO, max_pixels: int) -> Levels:
    file.seek(0)
    return levels_of(image, file.read(), max_pixels)


def _photo_of_tiff(file: BinaryIO, name: str, white_level: WhiteLevel, max_pixels: int) -> Photo:
    """Decode a TIFF file of a kind that Pillow does not know, such as RGB of floats."""
    levels = _tiff(file, name, max_pixels)
    _check_size(name, levels.values.shape[1::-1], max_pixels)
    pixels, note = _rgb_of_levels(levels, white_level)
    return Photo(pixels, (pixels.shape[0], pixels.shape[1]), _told(note), levels.values.dtype != np.uint8)


def _tiff(file: BinaryIO, name: str, max_pixels: int) -> Levels:
    file.seek(0)
    try:
        return tiff_levels(file.read(), max_pixels)
    except Exception as error:  # its codecs raise exceptions of their own
        raise refused(name, error) from error


def _rgb_of_levels(levels: Levels, white_level: WhiteLevel) -> tuple[np.ndarray, str]:
    """Scale levels to uint8 RGB, on white where they are transparent; also return a note for the user, or ""."""
    values, note = levels.values, ""
    if values.dtype != np.uint8:
        values, note = scaled(values, Reach.of(values, levels.bits), white_level)
    pixels = np.repeat(values[..., None], 3, axis=2) if values.ndim == 2 else np.ascontiguousarray(values)
    if levels.alpha is None or levels.alpha.min() == levels.alpha.max():
        return pixels, note
    full = np.iinfo(levels.alpha.dtype).max if levels.alpha.dtype.kind in "ui" else 1.0
    opacity = np.clip(levels.alpha.astype(np.float32) / full, 0, 1)[..., None]
    return np.asarray(np.rint(pixels * opacity + 255 * (1 - opacity)), np.uint8), note


def _to_rgb(image: Image.Image) -> tuple[np.ndarray, str]:
    """Convert a loaded image of 8 bits a sample to sRGB, upright; also return a note for the user, or "".

    The image itself is turned: a copy of a large one would take hundreds of MB.
    """
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith(("I", "F")):
        return _rgb_of_levels(Levels(np.asarray(image)), "brightest")
    if not image.has_transparency_data:
        plain = image if image.mode in ("RGB", "L", "CMYK", "LAB") else image.convert("RGB")
        rgb, note = to_srgb(plain)
        return rgb_array(rgb), note
    layer = image if image.mode == "RGBA" else image.convert("RGBA")
    alpha = layer.getchannel("A")
    rgb, note = to_srgb(layer.convert("RGB"))
    low, high = alpha.getextrema()
    return rgb_array(rgb, alpha if low != high else None), note


def _further_pages(image: Image.Image) -> str:
    """Say how many pages or frames are not read, or ""; thumbnails and masks in a TIFF file are no pages."""
    if image.format not in ("TIFF", "GIF", "WEBP", "PNG") or not getattr(image, "is_animated", False):
        return ""
    further = int(getattr(image, "n_frames", 1)) - 1
    if image.format == "TIFF":
        further = 0
        for page in range(1, int(getattr(image, "n_frames", 1))):
            image.seek(page)
            further += not int(image.tag_v2.get(_SUBFILE, 0)) & 5  # type: ignore[attr-defined]
        image.seek(0)
    kind = "pages" if image.format == "TIFF" else "frames"
    return (
        f"only the first of its {further + 1} {kind} was read; save the others as files of their own" if further else ""
    )


def _told(*notes: str) -> tuple[str, ...]:
    return tuple(note for note in notes if note)


def _check_size(name: str, size: tuple[int, int], max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise ImageTooLarge(_too_large(name, max_pixels))
    if min(size) < MIN_SIDE:
        raise UserError(f"{name}: {size[0]}x{size[1]} px is too small; give at least {MIN_SIDE} px on each side")


def _too_large(name: str, max_pixels: int) -> str:
    return f"{name}: more than {max_pixels / 1e6:.0f} megapixels; shrink it first"
