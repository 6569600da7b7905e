"""Per-region-overlap curves by image, small enough to be kept: for joint figures and paired tests of AUPRO.

For each image and each of a few hundred levels the good pixels above the level are counted, and the shares of the
defective regions above it are summed. Curve and AUPRO of any resample of the images follow from sums of these.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from fastener.common.errors import UserError
from fastener.common.files import write_atomically
from fastener.evaluation.resampling import resample_weights

FILE = "regions.npz"
MAX_FPR = 0.3  # where the integral of AUPRO ends, as in pixel_metrics
_LEVELS = 400
_RESAMPLES = 1000
_HIGHEST_RATE = 0.4  # rate of all pixels above the lowest level


class RegionCurves:
    """Collect what each image adds to the curve of overlap over the pixel false positive rate.

    Parameters
    ----------
    levels : float (k,)
        Map values, ascending.

    Attributes
    ----------
    good, overlap : float64 (n, k)
        Of each image, the good pixels above each level, and the sum over its regions of the share above the level.
    n_good, n_regions : float64 (n,)
        Good pixels and defective regions of each image.
    """

    def __init__(self, levels: np.ndarray):
        self.levels = levels
        self._rows: list[tuple[np.ndarray, np.ndarray, int, int]] = []

    @classmethod
    def for_maps(cls, maps: Sequence[np.ndarray]) -> RegionCurves:
        """Choose levels from the maps (h, w), NaN where nothing was inspected: the closer, the rarer the value."""
        values = np.concatenate([one[np.isfinite(one)].ravel()[:: max(1, len(maps) // 40)] for one in maps])
        rates = _HIGHEST_RATE * np.linspace(1, 0, _LEVELS) ** 2
        return cls(np.unique(np.quantile(values, 1 - rates)) if values.size else np.zeros(1))

    def update(self, score_map: np.ndarray, mask: np.ndarray) -> None:
        """Add one image: map float (H, W), NaN = not inspected, and mask bool (H, W).

        A good pixel that was not inspected is left out; an anomalous one counts as missed.
        """
        seen = np.isfinite(score_map)
        bins = len(self.levels) + 1
        place = np.searchsorted(self.levels, np.where(seen, score_map, -np.inf))
        good = place[~mask & seen]
        count, regions = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        of_pixel = regions[mask]
        weights = 1.0 / np.bincount(of_pixel, minlength=1)[of_pixel]
        overlap = np.bincount(place[mask], weights=weights, minlength=bins)
        self._rows.append((_above(np.bincount(good, minlength=bins)), _above(overlap), good.size, count - 1))

    @property
    def good(self) -> np.ndarray:
        return np.array([row[0] for row in self._rows], float)

    @property
    def overlap(self) -> np.ndarray:
        return np.array([row[1] for row in self._rows], float)

    @property
    def n_good(self) -> np.ndarray:
        return np.array([row[2] for row in self._rows], float)

    @property
    def n_regions(self) -> np.ndarray:
        return np.array([row[3] for row in self._rows], float)

    def part(self, order: np.ndarray) -> RegionCurves:
        """Take the images in this order, indices (m,)."""
        other = RegionCurves(self.levels)
        other._rows = [self._rows[i] for i in order]
        return other

    def curve(self, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return false positive rate and mean overlap, each (r, k + 1) from (0, 0) on, of ``weights`` (r, n).

        Each row of weights says how often each image counts; None: one row with each image once.
        """
        times = np.ones((1, len(self._rows))) if weights is None else np.asarray(weights, float)
        rate = times @ self.good / (times @ self.n_good)[:, None]
        overlap = times @ self.overlap / (times @ self.n_regions)[:, None]
        start = np.zeros((len(times), 1))
        return np.hstack([start, rate[:, ::-1]]), np.hstack([start, overlap[:, ::-1]])

    def aupro(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Compute the area up to ``MAX_FPR``, divided by it, for each row of weights: (r,)."""
        return np.array([_area(x, y) for x, y in zip(*self.curve(weights), strict=True)])

    def interval(self, labels: np.ndarray, groups: np.ndarray | None = None, *, seed: int = 0) -> tuple[float, float]:
        """Compute the 95 % percentile bootstrap interval of AUPRO over images (n,), stratified by label."""
        areas = np.concatenate([self.aupro(rows) for rows in resample_weights(labels, groups, _RESAMPLES, seed)])
        low, high = np.quantile(areas, [0.025, 0.975])
        return float(low), float(high)

    def write(self, folder: Path) -> None:
        """Write regions.npz to ``folder``; an earlier one is removed where there is no region to measure."""
        if not self._rows or not self.n_regions.any():
            (folder / FILE).unlink(missing_ok=True)
            return
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            levels=self.levels,
            good=self.good.astype(np.uint32),
            overlap=self.overlap.astype(np.float32),
            n_good=self.n_good.astype(np.uint32),
            n_regions=self.n_regions.astype(np.uint32),
        )
        write_atomically(folder / FILE, buffer.getvalue())

    @classmethod
    def read(cls, folder: Path) -> RegionCurves | None:
        """Read the curves of an evaluation; None if it has none. Raises UserError for a damaged file."""
        path = folder / FILE
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as archive:
                curves = cls(archive["levels"])
                names = ("good", "overlap", "n_good", "n_regions")
                curves._rows = list(zip(*(archive[name] for name in names), strict=True))
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise UserError(f"{path} cannot be read as curves of regions ({error}); run evaluate.py again") from None
        return curves


def _above(counts: np.ndarray) -> np.ndarray:
    """Sum (k + 1,) counts between levels to (k,) sums above each level."""
    return np.cumsum(counts[::-1])[::-1][1:]


def _area(rate: np.ndarray, overlap: np.ndarray) -> float:
    inside = int(np.searchsorted(rate, MAX_FPR, side="right"))
    x = np.append(rate[:inside], MAX_FPR)
    y = np.append(overlap[:inside], np.interp(MAX_FPR, rate, overlap))
    return float(np.trapezoid(y, x) / MAX_FPR)
