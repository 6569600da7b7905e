"""Pictures of an inspection for the page and for programs, coded for speed: they are made for every photo."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image

from fastener.datasets.images import decode_reduced
from fastener.inspection.drawing import Picture, heatmap_layer
from fastener.inspection.result import Inspection
from fastener.inspection.writers import colour_range, shrunk

# The heatmap is smooth, so that more pixels would show no more.
HEATMAP_SIDE = 512
# While it is decoded, a PNG takes 20 bytes and more a pixel.
LARGE_PIXELS = 25_000_000
# For such smooth pictures one filter is smaller than a choice for each line, in a quarter of the time.
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
OVERLAY_SIDE = 1024
THUMBNAIL_SIDE, PREVIEW_SIDE = 192, 1600
_KINDS = {
    "BMP": ("image/bmp", ".bmp"),
    "GIF": ("image/gif", ".gif"),
    "JPEG": ("image/jpeg", ".jpg"),
    "MPO": ("image/jpeg", ".jpg"),  # what some phones write
    "PNG": ("image/png", ".png"),
    "TIFF": ("image/tiff", ".tif"),
    "WEBP": ("image/webp", ".webp"),
}
_OPENED = tuple(kind for kind in _KINDS if kind != "MPO")  # which opens as JPEG


def heatmap_png(inspection: Inspection) -> bytes | None:
    """The heatmap alone as RGBA PNG in the photo's proportions, to be laid over it; None if no evidence says where."""
    if np.isnan(inspection.map).all():
        return None
    height, width = inspection.photo_size
    scale = min(1.0, HEATMAP_SIDE / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    layer = heatmap_layer(inspection.photo_map(size), *colour_range(inspection))
    return _coded(".png", cv2.cvtColor(layer, cv2.COLOR_RGBA2BGRA), _PNG)


def overlay_jpeg(photo: Picture, layer: bytes) -> bytes:
    """A photo, or a shrunk copy of it, under the heatmap of ``heatmap_png``."""
    heat = cv2.imdecode(np.frombuffer(layer, np.uint8), cv2.IMREAD_UNCHANGED)
    heat = cv2.resize(np.asarray(heat), (photo.shape[1], photo.shape[0]), interpolation=cv2.INTER_LINEAR)
    opacity = heat[..., 3:].astype(np.float32) / 255
    blended = photo[..., ::-1] * (1 - opacity) + heat[..., :3] * opacity
    return _coded(".jpg", blended.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 88])


def small_jpeg(file: Path, side: int) -> bytes:
    """A stored image as JPEG with at most ``side`` pixels a side, whatever its format; upright as EXIF says."""
    with file.open("rb") as content:
        photo, _ = decode_reduced(content, "the stored image", side)
    photo = shrunk(photo, side)
    return _coded(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])


def is_large(file: BinaryIO, side: int) -> bool:
    """Whether ``decode_reduced`` to ``side`` pixels would decode so many that only one such image should be at a time.

    From the header alone; False for what is no image.
    """
    try:
        with Image.open(file, formats=_OPENED) as image:
            reduction = max(1, max(image.size) // side)
            image.draft(None, (-(-image.width // reduction), -(-image.height // reduction)))
            return image.width * image.height > LARGE_PIXELS
    except Exception:  # of many kinds; who decodes it says what is wrong
        return False


def media_type(file: Path) -> str:
    """The media type of a stored image, from its content."""
    return _KINDS[_format(file)][0]


def suffix(file: Path) -> str:
    """The file name ending for a stored image, from its content."""
    return _KINDS[_format(file)][1]


def _format(file: Path) -> str:
    with Image.open(file) as image:
        return image.format or ""


def _coded(kind: str, picture: np.ndarray, options: list[int]) -> bytes:
    done, content = cv2.imencode(kind, picture, options)
    assert done
    return bytes(content)
