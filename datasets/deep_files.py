"""Read the levels of PNG and TIFF files deeper than 8 bits, which Pillow cuts to 8 bits, scrambles or refuses."""

from __future__ import annotations

import io
import logging
import struct
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image

from fastener.common.errors import UserError
from fastener.datasets.levels import Reach, full_scale

_RIGHT_ALIGNED = (8, 10, 12)  # depths of sensors in files of 16 bits that leave no doubt
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_BITS, _MOST, _FORMAT = 258, (281, 341), 339  # TIFF tags
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MAX_CHANNELS = 16
_PNG_START = 8  # bytes before the first chunk
logging.getLogger("tifffile").addHandler(logging.NullHandler())  # a damaged file is told in a line of our own


@dataclass(frozen=True)
class Levels:
    """Hold the levels of a photo as its file has them.

    Parameters
    ----------
    values : ndarray, (H, W) or (H, W, 3)
        Grey or RGB levels of any number type.
    alpha : ndarray or None, (H, W)
        Opacity, in the number type of ``values``.
    bits : int or None
        Bits of a sample that the file states, where these are fewer than it could hold.
    """

    values: np.ndarray
    alpha: np.ndarray | None = None
    bits: int | None = None


def is_tiff(start: bytes) -> bool:
    """Tell from its first bytes whether a file is a TIFF."""
    return start[:4] in _TIFF_STARTS


def is_deep(image: Image.Image) -> bool:
    """Tell whether an opened image has more than 8 bits a sample, or signed ones."""
    if image.format == "TIFF":
        tags: Any = image.tag_v2  # type: ignore[attr-defined]
        signed_or_float = any(kind in (2, 3) for kind in _numbers(tags.get(_FORMAT)))
        return signed_or_float or max(_numbers(tags.get(_BITS)), default=1) > 8
    if image.format == "PNG":
        tiles: Any = getattr(image, "tile", ())
        return image.mode.startswith("I") or any(str(tile[3]).endswith("16B") for tile in tiles)
    return image.mode.startswith(("I", "F"))


def levels_of(image: Image.Image, content: bytes, max_pixels: int) -> Levels:
    """Read the levels of an image that ``is_deep``; ``content`` are the bytes of its file.

    Raises ValueError, and what the decoders raise, for a damaged file and for colours that cannot be told.
    """
    if image.format == "TIFF":
        return tiff_levels(content, max_pixels)
    if image.format == "PNG" and not image.mode.startswith("I"):
        decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if decoded is None or decoded.dtype != np.uint16:
            raise ValueError("its pixels cannot be decoded")
        if decoded.ndim == 2:
            return Levels(decoded, bits=_png_bits(content))
        return Levels(decoded[..., 2::-1], decoded[..., 3] if decoded.shape[2] == 4 else None, bits=_png_bits(content))
    image.load()
    return Levels(np.asarray(image), bits=_png_bits(content) if image.format == "PNG" else None)


def tiff_levels(content: bytes, max_pixels: int) -> Levels:
    """Read the levels of the first page of a TIFF file.

    Raises ValueError, or whatever tifffile and its codecs raise, for a damaged file; the message of a ValueError says
    which colours cannot be read.
    """
    import tifffile

    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page: Any = file.pages[0]
        photometric, channels = int(page.photometric), int(page.samplesperpixel)
        if page.imagewidth * page.imagelength > max_pixels or channels > _MAX_CHANNELS:
            raise ValueError(f"{page.imagewidth}x{page.imagelength} pixels of {channels} channels are too many")
        values = np.asarray(page.asarray())
        bits = _stated_bits(page)
        extra = [int(kind) for kind in page.extrasamples]
        planar = page.axes.startswith("S")
    if planar:
        values = np.moveaxis(values, 0, -1)
    if values.ndim == 2:
        values = values[..., None]
    colours = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3}.get(photometric)
    if colours is None or values.ndim != 3 or values.shape[2] < colours or values.dtype.kind not in "uif":
        name = tifffile.PHOTOMETRIC(photometric).name if photometric in set(tifffile.PHOTOMETRIC) else photometric
        raise ValueError(f"{channels} channels of {bits or values.dtype} as {name} are not supported; save it as RGB")
    alpha = next((values[..., colours + i] for i, kind in enumerate(extra) if kind in (1, 2)), None)
    main = values[..., 0] if colours == 1 else values[..., :3]
    if values.dtype == np.float16:
        main = main.astype(np.float32)
    return _upright(main, bits) if photometric == _WHITE_IS_ZERO else Levels(main, alpha, bits)


def _upright(values: np.ndarray, bits: int | None) -> Levels:
    """Turn levels round of which the lowest is white.

    White is the greatest level of the file's number type, unless the file states fewer bits, or none of its levels
    needs more than 12 bits: otherwise the photo would be white all over.
    """
    if values.dtype.kind == "f":
        white = full_scale(Reach.of(values))[1]
        return Levels(np.asarray(white - values, values.dtype))
    most, reach = np.iinfo(values.dtype).max, Reach.of(values)
    bits = bits or next((few for few in _RIGHT_ALIGNED if reach.high < 2**few), None)
    white = most if bits is None else min(2**bits - 1, most)
    return Levels(np.asarray(white - np.minimum(values, white), values.dtype), bits=bits)


def _stated_bits(page: Any) -> int | None:
    """Read how many bits of a sample a TIFF page says that it uses, if that is fewer than its number type has."""
    container = page.dtype.itemsize * 8 if page.dtype is not None else 0
    stored = int(page.bitspersample)
    if 8 < stored < container:
        return stored
    for tag in _MOST:
        most = max(_numbers(page.tags.valueof(tag)), default=0)
        bits = most.bit_length()
        if 8 <= bits < container and most == 2**bits - 1:  # anything else is this photo's own maximum
            return bits
    return None


def _png_bits(content: bytes) -> int | None:
    """Read the significant bits (chunk sBIT) of a PNG file, if they are fewer than 16."""
    at = _PNG_START
    while at + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        if kind == b"sBIT" and 0 < length <= 4:
            bits = max(content[at + 8 : at + 8 + length])
            return bits if 8 < bits < 16 else None
        if kind == b"IDAT":
            return None
        at += length + 12
    return None


def _numbers(value: object) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,)
    return tuple(int(one) for one in value) if isinstance(value, tuple | list) else ()


def refused(name: str, error: Exception) -> UserError:
    """Put a decoder's error into one line about the file."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return UserError(f"{name}: damaged or unsupported image ({reason}); export or copy it again")
