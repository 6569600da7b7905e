"""Several frames of one photo: squares that cover it, and one map stitched from theirs.

A long photo that is squeezed into one square frame loses its detail along the long side. Cut into squares of its
shorter side it keeps the detail, and every square is judged by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fastener.preprocessing.pipeline import Prepared, Preprocessor, map_to_photo
from fastener.preprocessing.registration import compose, frame_transform, invert


class SquareTiles(Preprocessor):
    """Cut a photo into squares of its shorter side and prepare each square by itself.

    The squares are spaced evenly from end to end, and there are as few of them as cover the photo. A square photo is
    its own only tile.

    Parameters
    ----------
    settings : PreprocessSettings
        Settings that hold for every square.

    Examples
    --------
    >>> import numpy as np
    >>> from fastener.config import PreprocessSettings
    >>> tiles = SquareTiles(PreprocessSettings(size=64, enabled=False)).tiles(np.zeros((100, 250, 3), np.uint8))
    >>> [tile.image.shape for tile in tiles]
    [(64, 64, 3), (64, 64, 3), (64, 64, 3)]
    """

    @property
    def useful_side(self) -> int:
        """Longest side worth decoding, in pixels: no limit, as the shorter side sets the scale of the tiles."""
        return 2**31

    def tiles(self, photo: np.ndarray, photo_size: tuple[int, int] | None = None) -> tuple[Prepared, ...]:
        """Prepare each square of a photo, uint8 RGB (H, W, 3); ``photo_size`` as in ``Preprocessor.tiles``."""
        whole = photo.shape[:2]
        side = min(whole)
        found = []
        for top, left in tile_corners(whole):
            tile = self(np.ascontiguousarray(photo[top : top + side, left : left + side]))
            to_tile = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top]])
            placed = replace(tile, transform=compose(tile.transform, to_tile), photo_size=whole)
            found.append(placed.of_photo(photo_size or whole))
        return tuple(found)


def tile_corners(photo_size: tuple[int, int]) -> list[tuple[int, int]]:
    """Place the squares that cover a photo of (height, width): the (top, left) pixel of each, in order."""
    side, length = sorted(photo_size)
    starts = np.linspace(0, length - side, math.ceil(length / side)).round().astype(int)
    wide = photo_size[1] == length
    return [(0, int(start)) if wide else (int(start), 0) for start in starts]


def stitch(maps: Sequence[np.ndarray], tiles: Sequence[Prepared]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Join the maps of a photo's tiles into one map of the whole photo.

    ``maps`` are float (h, w), each in the frame of its tile. The result has the scale of the first tile: the map,
    float32 (h', w'), NaN where no tile looked; the mask of the part, bool (h', w'); and the transform, float64 (2, 3),
    from photo pixels to pixels of the map. Where tiles overlap, the higher value counts.
    """
    photo_size = tiles[0].photo_size
    zoom = math.sqrt(abs(float(np.linalg.det(tiles[0].transform[:, :2]))))
    size = (max(1, round(photo_size[0] * zoom)), max(1, round(photo_size[1] * zoom)))
    transform = frame_transform(photo_size, size)
    joined = np.full(size, np.nan, np.float32)
    mask = np.zeros(size, bool)
    for map_, tile in zip(maps, tiles, strict=True):
        to_tile = compose(tile.transform, invert(transform))
        joined = np.fmax(joined, map_to_photo(map_, to_tile, size))
        mask |= map_to_photo(tile.mask, to_tile, size) >= 0.5
    return joined, mask, transform
