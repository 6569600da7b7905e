"""The noise of a photo, by which copies of it are told from other photos of the same scene.

A print holds small squares, spread over the photo, of its finest detail that re-encoding leaves: the noise of the
sensor and the grain of the part. Each value is limited, so that the edges of a fixture, which all of its photos share,
weigh no more than the noise between them.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_LONGEST = 384  # pixels of the photo's longer side, to which copies of other sizes are brought
_SQUARES, _SIDE = 24, 4  # squares along each side of the photo, and their side in pixels
_FINE, _COARSE = 0.8, 3.0  # detail between these sigmas, in pixels, outlives JPEG of middling quality
_LEAST = 0.3  # grey levels; less is rounding
# A value counts in full if it is many times this part of the photo's median detail.
_KNEE = 0.3
_FEW = 64  # pixels with detail; a photo with fewer has no print
LENGTH = (_SQUARES * _SIDE) ** 2


def noise_print(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the print of a grey photo, (H, W), 0 to 255: (9216,) of unit norm; zeros for a photo without noise."""
    height, width = grey.shape
    scale = _LONGEST / max(height, width)
    least = _SQUARES * _SIDE
    size = (max(least, round(width * scale)), max(least, round(height * scale)))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    detail = cv2.GaussianBlur(small, (0, 0), _FINE) - cv2.GaussianBlur(small, (0, 0), _COARSE)
    amount = np.abs(detail)
    amount[amount < _LEAST] = 0
    if np.count_nonzero(amount) < _FEW:
        return np.zeros(LENGTH, np.float32)
    limited = np.sign(detail) * amount / (amount + _KNEE * np.median(amount[amount > 0]))
    rows, columns = (_places(side) for side in limited.shape)
    squares = limited[np.ix_(rows, columns)].reshape(_SQUARES, _SIDE, _SQUARES, _SIDE).swapaxes(1, 2)
    length = float(np.linalg.norm(squares))
    return np.asarray(squares.ravel() / max(length, 1e-12), np.float32)


def sameness(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the greatest correlation over the four flips of n and m prints: (n, m); NaN where one is of zeros."""
    squares = a.reshape(-1, _SQUARES, _SQUARES, _SIDE, _SIDE)
    best = a @ b.T
    for y, x in ((1, -1), (-1, 1), (-1, -1)):
        np.maximum(best, squares[:, ::y, ::x, ::y, ::x].reshape(a.shape) @ b.T, out=best)
    best[~a.any(axis=1)] = np.nan
    best[:, ~b.any(axis=1)] = np.nan
    return best


def _places(side: int) -> NDArray[np.int64]:
    """Rows or columns of the squares, spread evenly over ``side`` pixels and alike from both ends."""
    first = np.rint((np.arange(_SQUARES // 2) + 0.5) * side / _SQUARES - _SIDE / 2).astype(np.int64)
    starts = np.concatenate([first, side - _SIDE - first[::-1]])
    return (starts[:, None] + np.arange(_SIDE)).ravel()
