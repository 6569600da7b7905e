"""Encode the pictures of an inspection. The settings favour speed, because every photo gets these pictures."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image

from fastener.datasets.images import decode_reduced, shrunk
from fastener.inspection.drawing import Picture, heatmap_layer
from fastener.inspection.pictures import colour_range
from fastener.inspection.result import Inspection

# Heatmaps are as fine as the map, but not so coarse that the border of what was inspected shows steps.
_HEATMAP_SIDES = 256, 512
# Decoding a PNG takes 20 bytes a pixel or more.
LARGE_PIXELS = 25_000_000
# For smooth pictures, the filter "up" gives smaller files than choosing a filter for each line, in a quarter of the
# time.
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
OVERLAY_SIDE = 1024
THUMBNAIL_SIDE, PREVIEW_SIDE = 192, 1600
_KINDS = {
    "BMP": ("image/bmp", ".bmp"),
    "GIF": ("image/gif", ".gif"),
    "JPEG": ("image/jpeg", ".jpg"),
    "MPO": ("image/jpeg", ".jpg"),  # JPEG with several frames, from some phones
    "PNG": ("image/png", ".png"),
    "TIFF": ("image/tiff", ".tif"),
    "WEBP": ("image/webp", ".webp"),
}
_OPENED = tuple(kind for kind in _KINDS if kind != "MPO")  # Pillow opens MPO by its JPEG plugin


def heatmap_rgba(inspection: Inspection) -> np.ndarray | None:
    """Draw the heatmap as a transparent layer, uint8 RGBA (h, w, 4), with the aspect ratio of the photo.

    The longer side has 256 pixels, or up to 512 as the map has; a smaller photo keeps its size. None means that no
    kind of evidence gave a map.
    """
    if np.isnan(inspection.map).all():
        return None
    height, width = inspection.photo_size
    side = np.clip(max(inspection.map.shape), *_HEATMAP_SIDES)
    scale = min(1.0, side / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return heatmap_layer(inspection.photo_map(size), *colour_range(inspection), colours="ice")


def heatmap_png(layer: np.ndarray) -> bytes:
    """Encode the layer of ``heatmap_rgba`` as PNG."""
    return _encoded(".png", cv2.cvtColor(layer, cv2.COLOR_RGBA2BGRA), _PNG)


def overlay_jpeg(photo: Picture, layer: np.ndarray) -> bytes:
    """Blend the layer of ``heatmap_rgba`` over the photo, or over a smaller copy of it, and encode it as JPEG."""
    size = photo.shape[1], photo.shape[0]
    heat = cv2.resize(cv2.cvtColor(layer, cv2.COLOR_RGBA2BGR), size)
    opacity = cv2.resize(layer[..., 3].astype(np.float32) / 255, size)
    blended = cv2.blendLinear(cv2.cvtColor(photo, cv2.COLOR_RGB2BGR), heat, 1 - opacity, opacity)
    return _encoded(".jpg", blended, [cv2.IMWRITE_JPEG_QUALITY, 88])


def small_jpeg(file: Path, side: int) -> bytes:
    """Encode a stored image as JPEG of at most ``side`` pixels a side, turned upright as EXIF says."""
    with file.open("rb") as content:
        photo, _ = decode_reduced(content, "the stored image", side)
    photo = shrunk(photo, side)
    return _encoded(".jpg", cv2.cvtColor(photo, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])


def is_large(file: BinaryIO, side: int) -> bool:
    """Tell whether ``decode_reduced`` to ``side`` pixels needs the memory of more than 25 megapixels.

    Such images are decoded one at a time. Only the header is read; a file that is no image gives False.
    """
    try:
        with Image.open(file, formats=_OPENED) as image:
            reduction = max(1, max(image.size) // side)
            image.draft(None, (-(-image.width // reduction), -(-image.height // reduction)))
            return image.width * image.height > LARGE_PIXELS
    except Exception:  # Pillow raises many kinds; decoding the file later reports the reason
        return False


def media_type(file: Path) -> str:
    """Find the media type of a stored image from its content."""
    return _KINDS[_format(file)][0]


def suffix(file: Path) -> str:
    """Find the file name suffix of a stored image from its content."""
    return _KINDS[_format(file)][1]


def _format(file: Path) -> str:
    with Image.open(file) as image:
        return image.format or ""


def _encoded(kind: str, picture: np.ndarray, options: list[int]) -> bytes:
    done, content = cv2.imencode(kind, picture, options)
    assert done
    return bytes(content)
