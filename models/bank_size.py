"""How many patches a memory bank keeps."""

from __future__ import annotations

import math

_RATIO, _FEW_IMAGES = 0.02, 200


def rows_to_keep(n_patches: int, n_images: int, ratio: float | None = None, *, known_images: int = 0) -> int:
    """Choose how many of the patches of ``n_images`` new images a bank keeps, at least one.

    ``ratio`` is the share of the patches; None: 2 % for up to 200 images, and rows that grow with the square root of
    the number of images beyond, ``known_images`` among them. On screws, tiles, cookies, brushes and commutators, 2 %
    found as much as 10 %, and many images show little that is new.
    """
    if ratio is None:
        ratio = _RATIO * min(1.0, math.sqrt(_FEW_IMAGES / max(1, known_images + n_images)))
    return max(1, round(ratio * n_patches))
