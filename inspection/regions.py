"""Boxes round the clusters of an anomaly map's pixels that exceed a threshold."""

from __future__ import annotations

import cv2
import numpy as np

from fastener.inspection.result import Region

# Pairs of neighbours that clustering may hold at once: some megabytes, and a fraction of a second.
MAX_PAIRS = 400_000
# Touching pixels, diagonals included, and single pixels count: with these, clusters are 8-connected areas.
TOUCHING = 1.5


def find_regions(
    map_: np.ndarray,
    threshold: float,
    transform: np.ndarray,
    photo_size: tuple[int, int],
    eps: float = TOUCHING,
    min_samples: int = 1,
    extent: float = 0.0,
) -> tuple[Region, ...]:
    """Clusters of the pixels of ``map_`` (h, w) above ``threshold``, as boxes in photo pixels, the highest score first.

    ``threshold`` is on the scale of the raw map, the same for every image, so that a flat map gives no box.
    ``transform`` (2, 3) takes photo pixels to map pixels. The box encloses the cluster's outline after it is taken back
    to the photo, cut at the photo's border. ``eps`` (map pixels) and ``min_samples`` (pixels) are those of DBSCAN; the
    defaults give the 8-connected areas.

    A map falls off slowly round a defect, as patches see more than themselves, so that a strong defect has a wide halo
    above the threshold. ``extent`` in 0 to 1 cuts it: of each cluster only what lies above that share of the way from
    the threshold to its peak is kept, which may fall into several regions. At 0 all of it is kept.
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
    """Cluster of each pixel set in ``above``, bool (h, w) -> int (h, w); -1 for noise and for pixels not set.

    DBSCAN (Ester et al., "A Density-Based Algorithm for Discovering Clusters in Large Spatial Databases with Noise",
    KDD 1996) holds every pair of neighbours in memory, which for a map above its threshold all over grows with the
    fourth power of its side. Where that would be more than ``MAX_PAIRS``, pixels are first joined into square cells,
    each weighing as many samples as it has pixels: clusters closer than a cell may then become one. Cells grow only as
    far as they must, so that ordinary maps are clustered pixel by pixel.
    """
    if (eps, min_samples) == (TOUCHING, 1):
        return np.asarray(cv2.connectedComponents(above.astype(np.uint8), connectivity=8)[1], int) - 1
    from sklearn.cluster import DBSCAN  # here, as it takes seconds and 150 MB, and the defaults do without

    side, weights = 1, above.astype(np.int64)
    # Cells that touch belong together whatever eps, as their pixels may touch.
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
    """The pixels of each cluster above their share of its height: bool (h, w)."""
    inside = labels >= 0
    peaks = np.full(labels.max(initial=-1) + 1, -np.inf)
    np.maximum.at(peaks, labels[inside], map_[inside])
    kept = np.zeros(labels.shape, bool)
    kept[inside] = map_[inside] >= threshold + extent * (peaks[labels[inside]] - threshold)
    return kept


def _sums_of_four(weights: np.ndarray) -> np.ndarray:
    """Sums over cells of 2 x 2; an odd last row or column is a cell of its own."""
    even = np.pad(weights, [(0, length % 2) for length in weights.shape])
    return np.asarray(even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2).sum((1, 3)))


def _members(labels: np.ndarray) -> list[np.ndarray]:
    """Indices of each cluster's pixels, without the noise."""
    order = np.argsort(labels, kind="stable")
    first = np.flatnonzero(np.diff(labels[order], prepend=-2))
    return [part for part in np.split(order, first[1:]) if len(part) and labels[part[0]] >= 0]


def _box_in_photo(
    rows: np.ndarray, columns: np.ndarray, to_photo: np.ndarray, photo_size: tuple[int, int]
) -> tuple[int, int, int, int] | None:
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
