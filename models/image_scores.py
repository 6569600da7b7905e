"""From patch distances to one score an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from fastener.models.anomaly_map import to_pixels
from fastener.models.scores import Scores

if TYPE_CHECKING:
    import torch

    from fastener.models.memory_bank import MemoryBank


@dataclass(frozen=True)
class TopScore:
    """Score images by the mean of their highest distances.

    Parameters
    ----------
    share : float
        Share of the distances that are averaged, above 0 to 1.
    of : {"map", "patches"}
        Whether the pixels of the smoothed map are averaged, or the patches, as in AnomalyDINO (Damm et al. 2025).
    cosine : bool
        Whether half the squared distance stands for the distance: 1 - cosine, for features of length 1.
    """

    share: float
    of: Literal["map", "patches"] = "map"
    cosine: bool = False

    def __call__(self, grids: np.ndarray, size: tuple[int, int], sigma: float) -> Scores:
        """Score images of ``size`` (H, W) pixels by the L2 distances of their patches, (n, h, w).

        ``sigma`` is the Gaussian smoothing of the maps, in pixels.
        """
        if self.cosine:
            grids = np.square(grids) / 2
        maps = to_pixels(grids, size, sigma)
        return Scores(top_mean(maps if self.of == "map" else grids, self.share), maps)


def top_mean(maps: np.ndarray, share: float) -> np.ndarray:
    """Average the highest ``share`` of the pixels of each map (n, h, w), at least one: float32 (n,).

    The average is steadier than the maximum, which a single pixel decides, and a large part does not drown it as it
    drowns the mean.
    """
    pixels = maps.reshape(len(maps), -1)
    count = max(1, round(share * pixels.shape[1]))
    highest = np.partition(pixels, -count, axis=1)[:, -count:]
    return np.asarray(highest.mean(1), np.float32)


def weighted_scores(
    features: torch.Tensor, distances: torch.Tensor, rows: torch.Tensor, bank: MemoryBank, *, num_neighbors: int
) -> torch.Tensor:
    """Score images by equations 6 and 7 of PatchCore: the largest patch distance s*, less where the bank is sparse.

    s = (1 - exp(|m_test - m*|) / sum over the b bank neighbours m of m* of exp(|m_test - m|)) * s*

    Parameters
    ----------
    features : float32 (n, p, d)
        Patch features of n images.
    distances, rows : float32 and int64 (n, p)
        Distance of each patch to its nearest row of the bank, and the row.
    bank : MemoryBank
        The bank.
    num_neighbors : int
        b of equation 7; 1: the largest distance itself.
    """
    import torch

    largest, position = distances.max(1)
    if min(num_neighbors, len(bank)) == 1:
        return largest
    each = torch.arange(len(features), device=features.device)
    test, nearest = features[each, position], bank.rows(rows[each, position])
    _, support = bank.search(nearest, num_neighbors, exact=True)
    to_support = (test[:, None] - bank.rows(support)).norm(dim=2)
    # m* is its own nearest neighbour; duplicates in the bank must not displace it from the denominator.
    exponents = torch.cat([largest[:, None], to_support[:, 1:]], 1)
    return (1 - exponents.softmax(1)[:, 0]) * largest
