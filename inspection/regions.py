"""Boxes round the connected areas of an anomaly map that exceed a threshold."""

from __future__ import annotations

import cv2
import numpy as np

from inspection.result import Region


def find_regions(
    map_: np.ndarray, threshold: float, transform: np.ndarray, photo_size: tuple[int, int]
) -> tuple[Region, ...]:
    """Areas of ``map_`` (h, w) above ``threshold``, 8-connected, as boxes in photo pixels, the highest score first.

    ``transform`` (2, 3) takes photo pixels to map pixels. The box encloses the area's outline after it is taken back
    to the photo, cut at the photo's border.
    """
    above = (map_ > threshold).astype(np.uint8)
    count, labels = cv2.connectedComponents(above, connectivity=8)
    to_photo = cv2.invertAffineTransform(transform)
    regions = []
    for label in range(1, count):
        inside = labels == label
        box = _box_in_photo(inside, to_photo, photo_size)
        if box is not None:
            regions.append(Region(*box, score=float(map_[inside].max())))
    return tuple(sorted(regions, key=lambda region: -region.score))


def _box_in_photo(
    inside: np.ndarray, to_photo: np.ndarray, photo_size: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    rows, columns = np.nonzero(inside)
    # A pixel is a square: its corners, not its centre, bound the area.
    corners = [(columns + dx, rows + dy) for dx in (-0.5, 0.5) for dy in (-0.5, 0.5)]
    points = np.concatenate([np.stack(corner, 1) for corner in corners]) @ to_photo[:, :2].T + to_photo[:, 2]
    limit = np.array([photo_size[1], photo_size[0]])
    low = np.clip(np.floor(points.min(0) + 0.5), 0, limit).astype(int)
    high = np.clip(np.ceil(points.max(0) + 0.5), 0, limit).astype(int)
    width, height = high - low
    if width < 1 or height < 1:
        return None
    return int(low[0]), int(low[1]), int(width), int(height)
