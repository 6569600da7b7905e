"""Boxes round the clusters of an anomaly map's pixels that exceed a threshold."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

# Pairs of neighbours that clustering may hold at once: they take some megabytes and a fraction of a second.
MAX_PAIRS = 400_000
# At this distance pixels touch, diagonals included; if single pixels count too, clusters are 8-connected areas.
TOUCHING = 1.5


@dataclass(frozen=True)
class Region:
    """Box one cluster of anomalous pixels, in pixels of the photo.

    Attributes
    ----------
    x, y : int
        Left and top edge of the box, in pixels from the photo's upper left corner.
    width, height : int
        Sides of the box in pixels, at least 1.
    score : float
        Highest value of the anomaly map inside the cluster, on the scale of the inspection's score.
    area : float
        Area of the cluster's own pixels, in square photo pixels.
    """

    x: int
    y: int
    width: int
    height: int
    score: float
    area: float


def find_regions(
    map_: np.ndarray,
    threshold: float,
    transform: np.ndarray,
    photo_size: tuple[int, int],
    *,
    eps: float = TOUCHING,
    min_samples: int = 1,
    extent: float = 0.0,
) -> tuple[Region, ...]:
    """Find the clusters of pixels above a threshold, as boxes in photo pixels, the highest score first.

    Parameters
    ----------
    map_ : ndarray of float, (h, w)
        Anomaly map; NaN pixels were not inspected and belong to no cluster.
    threshold : float
        Lower limit on the scale of the map. It is the same for every photo, so that a flat map gives no box.
    transform : ndarray of float64, (2, 3)
        Affine transform from photo pixels to map pixels.
    photo_size : tuple of int
        (height, width) of the photo in pixels; boxes are cut at its border.
    eps : float
        Distance in map pixels within which DBSCAN joins pixels. The default, with ``min_samples`` 1, gives the
        8-connected areas.
    min_samples : int
        Number of pixels within ``eps`` from which DBSCAN counts a pixel as the core of a cluster.
    extent : float, 0 to 1
        Part of each cluster that is kept. A map falls off slowly round a defect, because patches see more than their
        own place, so that a strong defect has a wide halo above the threshold. Only pixels are kept that lie above this
        share of the way from the threshold to the cluster's peak; the rest may fall into several regions. 0 keeps all.

    Examples
    --------
    >>> heat = np.zeros((8, 8))
    >>> heat[2:4, 3:6] = 5.0
    >>> find_regions(heat, 1.0, np.eye(2, 3), (8, 8))
    (Region(x=3, y=2, width=3, height=2, score=5.0, area=6.0),)
    """
    above = map_ > threshold
    rows, columns = np.nonzero(above)
    labels = cluster(above, eps, min_samples)
    if extent > 0:
        labels = cluster(_cores(map_, labels, threshold, extent), eps, min_samples=1)
    labels = labels[rows, columns]
    to_photo = cv2.invertAffineTransform(transform)
    pixel_area = abs(float(np.linalg.det(to_photo[:, :2])))
    regions = []
    for inside in _members(labels):
        box = _box_in_photo(rows[inside], columns[inside], to_photo, photo_size)
        if box is not None:
            score = float(map_[rows[inside], columns[inside]].max())
            regions.append(Region(*box, score=score, area=len(inside) * pixel_area))
    return tuple(sorted(regions, key=lambda region: -region.score))


def cluster(above: np.ndarray, eps: float, min_samples: int) -> np.ndarray:
    """Number the clusters of the pixels that are set in ``above``, bool (h, w).

    The result is int (h, w), and -1 for noise and for pixels that are not set.

    DBSCAN (Ester et al., "A Density-Based Algorithm for Discovering Clusters in Large Spatial Databases with Noise",
    KDD 1996) holds every pair of neighbours in memory. On a map that is above its threshold everywhere, the number of
    pairs grows with the fourth power of the map's side. Where there would be more than ``MAX_PAIRS``, pixels are first
    joined into square cells, and each cell weighs as many samples as it has pixels. Clusters closer than a cell may
    then become one. Cells grow only as far as they must, so that ordinary maps are clustered pixel by pixel.
    """
    if (eps, min_samples) == (TOUCHING, 1):
        return np.asarray(cv2.connectedComponents(above.astype(np.uint8), connectivity=8)[1], int) - 1
    # Imported here because it takes seconds and 150 MB, and the defaults do without it.
    from sklearn.cluster import DBSCAN

    side, weights = 1, above.astype(np.int64)
    # Cells that touch belong together whatever ``eps`` is, because their pixels may touch.
    while np.count_nonzero(weights) * (2 * int(max(eps / side, side > 1)) + 1) ** 2 > MAX_PAIRS:
        side, weights = 2 * side, _sums_of_four(weights)
    cells = np.full(weights.shape, -1)
    where = np.nonzero(weights)
    if len(where[0]):
        reach = max(eps / side, TOUCHING if side > 1 else 0.0)
        dbscan = DBSCAN(eps=reach, min_samples=min_samples)
        cells[where] = dbscan.fit(np.stack(where, 1), sample_weight=weights[where]).labels_
    labels = cells.repeat(side, 0).repeat(side, 1)[: above.shape[0], : above.shape[1]]
    return np.where(above, labels, -1)


def _cores(map_: np.ndarray, labels: np.ndarray, threshold: float, extent: float) -> np.ndarray:
    """Keep the pixels of each cluster that lie above the share ``extent`` of the cluster's height: bool (h, w)."""
    inside = labels >= 0
    peaks = np.full(labels.max(initial=-1) + 1, -np.inf)
    np.maximum.at(peaks, labels[inside], map_[inside])
    kept = np.zeros(labels.shape, bool)
    kept[inside] = map_[inside] >= threshold + extent * (peaks[labels[inside]] - threshold)
    return kept


def _sums_of_four(weights: np.ndarray) -> np.ndarray:
    """Sum over cells of 2 x 2 pixels; an odd last row or column makes smaller cells."""
    even = np.pad(weights, [(0, length % 2) for length in weights.shape])
    return np.asarray(even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2).sum((1, 3)))


def _members(labels: np.ndarray) -> list[np.ndarray]:
    """List the indices of each cluster's pixels; noise is left out."""
    order = np.argsort(labels, kind="stable")
    first = np.flatnonzero(np.diff(labels[order], prepend=-2))
    return [part for part in np.split(order, first[1:]) if len(part) and labels[part[0]] >= 0]


def _box_in_photo(
    rows: np.ndarray, columns: np.ndarray, to_photo: np.ndarray, photo_size: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """Enclose pixels of the map by a box (x, y, width, height) in the photo; None if all lie outside of the photo."""
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
