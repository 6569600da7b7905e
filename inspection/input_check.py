"""Whether a photo shows a part at all: no part, no verdict.

A memory bank knows the background as well as the part, so an empty frame is near to it everywhere and would pass. The
check compares three plain figures of a photo with the training photos: how bright it is, how much it varies, and how
much detail it has. They need no network, and an operator can act on each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from fastener.preprocessing.pipeline import Prepared

FIGURES = ("lightness", "contrast", "detail")
_PROBLEMS = {
    ("lightness", -1): "far darker than every training photo",
    ("lightness", 1): "far brighter than every training photo",
    ("contrast", -1): "almost nothing is visible in it",
    ("contrast", 1): "far more contrast than in every training photo",
    ("detail", -1): "no part's detail is visible in it",
    ("detail", 1): "far more fine detail than in every training photo, as noise has",
}
_SIDE = 128  # the figures are of a copy this large: noise of the sensor does not count, texture does
# Figures are logarithms but for lightness (0 to 1). A photo may lie outside of the training range by as much as the
# range is wide, and by at least these margins.
_LEAST_MARGIN = np.array([0.25, np.log(3.0), np.log(3.0)])
_PARTS_EXPECTED = 0.9  # share of training photos with a part that makes a photo without one odd
NO_PART = "no part was found in it"


@dataclass(frozen=True)
class InputCheck:
    """The range of ``FIGURES`` in the training photos.

    Parameters
    ----------
    low, high : float64 (3,)
        Least and greatest value of each figure in the training photos.
    expects_part : bool
        Whether nearly all training photos showed a part that preprocessing could find.
    """

    low: np.ndarray
    high: np.ndarray
    expects_part: bool

    @classmethod
    def fit(cls, figures: np.ndarray, part_found: Sequence[bool]) -> InputCheck:
        """Learn from the figures (n, 3) of healthy training photos, and whether a part was found in each."""
        return cls(figures.min(0), figures.max(0), float(np.mean(part_found)) >= _PARTS_EXPECTED)

    def extended(self, figures: np.ndarray) -> InputCheck:
        """Widen the range by the figures (n, 3) of more healthy photos."""
        return replace(self, low=np.minimum(self.low, figures.min(0)), high=np.maximum(self.high, figures.max(0)))

    def problem(self, prepared: Prepared) -> str:
        """Say in a few words why a photo cannot be judged; empty if it can."""
        if self.expects_part and not prepared.part_found:
            return NO_PART
        figures = input_figures(prepared)
        margin = np.maximum(self.high - self.low, _LEAST_MARGIN)
        # The figure that lies farthest outside, in margins, names the problem.
        outside = np.maximum(self.low - margin - figures, figures - self.high - margin) / margin
        worst = int(outside.argmax())
        if outside[worst] <= 0:
            return ""
        return _PROBLEMS[FIGURES[worst], 1 if figures[worst] > self.high[worst] else -1]

    def state(self) -> dict[str, list[float] | bool]:
        """Return plain values that ``from_state`` takes back."""
        return {"low": self.low.tolist(), "high": self.high.tolist(), "expects_part": self.expects_part}

    @classmethod
    def from_state(cls, state: dict[str, list[float] | bool]) -> InputCheck:
        """Restore a check from its ``state``."""
        return cls(np.asarray(state["low"], float), np.asarray(state["high"], float), bool(state["expects_part"]))


def input_figures(prepared: Prepared) -> np.ndarray:
    """Measure ``FIGURES`` of a prepared photo, float64 (3,): mean lightness (0 to 1), and two logarithms.

    Contrast is the standard deviation of the lightness, detail that of its Laplacian, both on a small copy of the
    photo's own pixels inside the frame. One grey level of 255 is their floor.
    """
    grey = cv2.cvtColor(prepared.photo, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    detail = cv2.Laplacian(small, cv2.CV_32F)
    floor = 1 / 255
    return np.array([small.mean(), np.log(small.std() + floor), np.log(detail.std() + floor)], float)
