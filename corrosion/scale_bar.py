"""Read the length of the scale bar that a microscope draws into a corner or along the border of its photos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

# The bar lies in the outer eighth of the photo, and takes 3 to 60 % of its width.
_BORDER, _SHORTEST, _LONGEST = 0.125, 0.03, 0.6
# A drawn bar has one grey up to compression, which blurs colours more; all around it, the grey differs.
_STEP, _SPREAD, _CONTRAST = 10, 24, 40
_SLENDER = 6
# Pixels over which a compressed edge is smeared.
_EDGE = 3


@dataclass(frozen=True)
class _Bar:
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right``, all inclusive, of one grey."""

    top: int
    bottom: int
    left: int
    right: int
    grey: float

    @property
    def length(self) -> int:
        return self.right - self.left + 1


def bar_length(photo: np.ndarray) -> int | None:
    """Measure the scale bar in a photo, uint8 RGB (H, W, 3), in pixels from end to end; None if there is none.

    A bar is a slender horizontal rectangle of one shade near the upper or lower border, which differs from what is
    above, below, left and right of it. Boxes and shadows around a bar are made of such rectangles, too, and are longer:
    the shortest of those above one another counts. Of several, the one nearest to the border does.
    """
    height = photo.shape[0]
    band = max(2, round(_BORDER * height))
    found = []
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.int16)
    for first, rows in ((0, grey[:band]), (height - band, grey[height - band :])):
        for bar in _bars(rows):
            middle = first + (bar.top + bar.bottom) / 2
            found.append((min(middle, height - 1 - middle), bar))
    if not found:
        return None
    nearest = min(found, key=lambda one: one[0])[1]
    return min(bar.length for _, bar in found if _beside(bar, nearest))


def _bars(rows: np.ndarray) -> Iterator[_Bar]:
    """Find the bars in some rows of a photo, int16 (h, w)."""
    growing: list[_Bar] = []
    for y in range(len(rows) + 1):
        lines = list(_lines(rows, y)) if y < len(rows) else []
        going_on = []
        for bar in growing:
            match = next((line for line in lines if _continues(bar, line)), None)
            if match is None:
                if _stands_out(bar, rows):
                    yield bar
            else:
                lines.remove(match)
                going_on.append(_Bar(bar.top, y, min(bar.left, match.left), max(bar.right, match.right), bar.grey))
        growing = going_on + lines


def _lines(rows: np.ndarray, y: int) -> Iterator[_Bar]:
    """Find the stretches of one grey in row ``y``."""
    row = rows[y]
    width = len(row)
    steps = np.abs(np.diff(row)) > _STEP
    ends = np.flatnonzero(np.concatenate([[True], steps, [True]]))
    lengths = np.diff(ends)
    for at in np.flatnonzero((lengths >= _SHORTEST * width) & (lengths <= _LONGEST * width)):
        left, after = int(ends[at]), int(ends[at + 1])
        # A stretch that reaches the photo's side is background, or a strip below the photo.
        if left == 0 or after == width:
            continue
        stretch = row[left:after]
        if stretch.max() - stretch.min() <= _SPREAD:
            yield _Bar(y, y, left, after - 1, float(np.median(stretch)))


def _continues(bar: _Bar, line: _Bar) -> bool:
    same_place = abs(bar.left - line.left) <= _EDGE and abs(bar.right - line.right) <= _EDGE
    return same_place and abs(bar.grey - line.grey) <= _SPREAD


def _stands_out(bar: _Bar, rows: np.ndarray) -> bool:
    """Tell whether a stretch of one grey is slender, and differs from its surroundings on all four sides."""
    if bar.length < _SLENDER * (bar.bottom - bar.top + 1) or bar.top == 0 or bar.bottom == len(rows) - 1:
        return False
    first, left = max(0, bar.top - _EDGE), bar.left - min(_EDGE, bar.left)
    around = rows[first : bar.bottom + 1 + _EDGE, left : bar.right + 1 + _EDGE]
    differs = np.abs(around - bar.grey) >= _CONTRAST
    columns = slice(bar.left - left, bar.right + 1 - left)
    above = differs[: bar.top - first, columns].any(axis=0)
    below = differs[bar.bottom + 1 - first :, columns].any(axis=0)
    middle = (bar.top + bar.bottom) // 2 - first
    before, behind = differs[middle, : columns.start], differs[middle, columns.stop :]
    return bool(above.mean() >= 0.9 and below.mean() >= 0.9 and before.any() and behind.any())


def _beside(bar: _Bar, other: _Bar) -> bool:
    """Tell whether two bars lie above one another, so that one is the frame, the shadow or the gap of the other."""
    shared = min(bar.right, other.right) - max(bar.left, other.left)
    return shared >= 0.8 * min(bar.length, other.length)
