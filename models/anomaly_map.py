"""From patch distances to an anomaly map: beside what is usual at a place, along lines, in pixels of the image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

_PLACE_SIGMA_PX = 8.0  # how far round a place its usual distances are gathered
_LEAST_STD = 1e-3  # of the mean deviation of all places: a place that never varies must not make any distance infinite
_DIRECTIONS = 16
_TOLERANCE = np.ones((3, 3), np.uint8)  # a crack may leave its line by a patch


@dataclass(frozen=True)
class PositionStats:
    """What patch distances healthy images have at each place, where parts always lie alike.

    ``sums`` and ``squares``: of the distances, and of their squares, over ``count`` images; float64 (h, w). ``sigma``:
    deviation, in patches, of the Gaussian neighbourhood whose mean and standard deviation are those of a place.
    """

    count: int
    sums: np.ndarray
    squares: np.ndarray
    sigma: float

    @classmethod
    def of(cls, grids: np.ndarray, height: int) -> PositionStats:
        """Of healthy images' distances (n, h, w), as if unseen; ``height``: of the images, in pixels."""
        wide = grids.astype(np.float64)
        sigma = _PLACE_SIGMA_PX * grids.shape[1] / height
        return cls(len(grids), wide.sum(0), np.square(wide).sum(0), sigma)

    def without(self, grids: np.ndarray) -> PositionStats:
        """Those of the other images: ``grids`` (m, h, w) were among these."""
        wide = grids.astype(np.float64)
        count = self.count - len(grids)
        return PositionStats(count, self.sums - wide.sum(0), self.squares - np.square(wide).sum(0), self.sigma)

    def standardise(self, grids: np.ndarray) -> np.ndarray:
        """Distances (n, h, w) in standard deviations above the mean of their place, float32 (n, h, w)."""
        mean, square = (self._gathered(values / self.count) for values in (self.sums, self.squares))
        std = np.sqrt(np.maximum(square - mean**2, 0))
        return np.asarray((grids - mean) / np.maximum(std, max(_LEAST_STD * std.mean(), 1e-9)), np.float32)

    def state(self) -> dict[str, Any]:
        """What ``from_state`` takes back: plain numbers and arrays."""
        return {"count": self.count, "sums": self.sums, "squares": self.squares, "sigma": self.sigma}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> PositionStats:
        """The reverse of ``state``, whose arrays may be tensors."""
        return cls(state["count"], np.asarray(state["sums"]), np.asarray(state["squares"]), state["sigma"])

    def _gathered(self, values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (0, 0), self.sigma, borderType=cv2.BORDER_REFLECT)


def along_lines(grids: np.ndarray, length: float) -> np.ndarray:
    """What the best straight line through each place shows, float32 (n, h, w) -> (n, h, w).

    For each of 16 directions, the median of the values along a line of ``length`` patches, centred on the place; of
    these the highest. A crack is odd all along, if only a little; a grain or a stain shorter than half a line
    vanishes. A value may lie a patch beside its line. Lines are reflected at the border, where cracks begin. After the
    line detectors of Ricci and Perfetti, "Retinal Blood Vessel Segmentation Using Line Operators", IEEE TMI 2007.
    """
    return np.stack([_along_lines(grid, max(1, round(length / 2))) for grid in grids.astype(np.float32)])


def _along_lines(grid: np.ndarray, half: int) -> np.ndarray:
    height, width = grid.shape
    padded = cv2.copyMakeBorder(cv2.dilate(grid, _TOLERANCE), half, half, half, half, cv2.BORDER_REFLECT)
    best = np.full_like(grid, -np.inf)
    for direction in range(_DIRECTIONS):
        angle = math.pi * direction / _DIRECTIONS
        steps = [
            (half + round(at * math.sin(angle)), half + round(at * math.cos(angle))) for at in range(-half, half + 1)
        ]
        line = np.stack([padded[top : top + height, left : left + width] for top, left in steps], axis=-1)
        line.partition(half, axis=-1)
        np.maximum(best, line[..., half], out=best)
    return best


def to_pixels(grids: np.ndarray, size: tuple[int, int], sigma: float) -> np.ndarray:
    """Patch values (n, h, w) as maps float32 (n, H, W) of ``size``, smoothed by a Gaussian of ``sigma`` pixels."""
    maps = [cv2.resize(grid, (size[1], size[0]), interpolation=cv2.INTER_LINEAR) for grid in grids]
    if sigma > 0:
        maps = [cv2.GaussianBlur(map_, (0, 0), sigma, borderType=cv2.BORDER_REFLECT) for map_ in maps]
    return np.stack(maps).astype(np.float32)
