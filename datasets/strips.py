"""Copy a Pillow image to an array strip by strip, so that the memory for a second whole image is never needed."""

from __future__ import annotations

import numpy as np
from PIL import Image

_STRIP_PIXELS = 4_000_000


def rgb_array(image: Image.Image, alpha: Image.Image | None = None) -> np.ndarray:
    """Copy an image of mode RGB to uint8 (H, W, 3), laid on white where ``alpha``, of mode L, is not opaque."""
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        box = (0, top, width, min(top + rows, height))
        strip = image.crop(box)
        if alpha is not None:
            strip.putalpha(alpha.crop(box))
            strip = Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert("RGB")
        pixels[top : box[3]] = np.asarray(strip)
    return pixels
