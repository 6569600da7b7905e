"""Whether a photo shows a part at all: no part, no verdict.

A memory bank knows the background as well as the part, so an empty frame is near to it everywhere and would pass; and
a blurred photo shows no defect. The check compares plain figures of a photo with the training photos: how bright it is,
how much it varies, how much detail it has, how sharp it is, and how much of the photo the part fills. They need no
network, and an operator can act on each of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from fastener.preprocessing.pipeline import Prepared

FIGURES = ("lightness", "contrast", "detail", "sharpness", "size")
_PROBLEMS = {
    ("lightness", -1): "far darker than every training photo",
    ("lightness", 1): "far brighter than every training photo",
    ("contrast", -1): "almost nothing is visible in it",
    ("contrast", 1): "far more contrast than in every training photo",
    ("detail", -1): "no part's detail is visible in it",
    ("detail", 1): "far more fine detail than in every training photo, as noise has",
    ("sharpness", -1): "far less sharp than every training photo",
    ("size", -1): "the part is far smaller in it than in every training photo",
    ("size", 1): "the part is far larger in it than in every training photo",
}
_SIDE = 128  # but for sharpness, figures are of a copy this large: noise of the sensor does not count, texture does
# Figures are logarithms but for lightness (0 to 1). A photo may lie outside of the training range by as much as the
# range is wide, and by at least these margins. A little blur halves the sharpness, so that its margin is small. Few
# photos say little of how sharpness and size vary: of n photos, these margins are 1 + 3 / n times as wide.
_LEAST_MARGIN = np.array([0.25, np.log(3.0), np.log(3.0), 0.5, np.log(3.0)])
_OF_FEW = np.array([0.0, 0.0, 0.0, 3.0, 3.0])
_PARTS_EXPECTED = 0.9  # share of training photos with a part that makes a photo without one odd
NO_PART = "no part was found in it"


@dataclass(frozen=True)
class InputCheck:
    """The range of ``FIGURES`` in the training photos.

    Parameters
    ----------
    low, high : float64 (n,)
        Least and greatest value of each figure in the training photos. Models of earlier versions lack the last ones.
    expects_part : bool
        Whether nearly all training photos showed a part that preprocessing could find.
    photos : int
        Number of training photos, or of their tiles.
    """

    low: np.ndarray
    high: np.ndarray
    expects_part: bool
    photos: int

    @classmethod
    def fit(cls, figures: np.ndarray, part_found: Sequence[bool]) -> InputCheck:
        """Learn from the figures (n, 5) of healthy training photos, and whether a part was found in each."""
        return cls(figures.min(0), figures.max(0), float(np.mean(part_found)) >= _PARTS_EXPECTED, len(figures))

    def extended(self, figures: np.ndarray) -> InputCheck:
        """Widen the range by the figures (n, 5) of more healthy photos."""
        figures = figures[:, : len(self.low)]
        low, high = np.minimum(self.low, figures.min(0)), np.maximum(self.high, figures.max(0))
        return replace(self, low=low, high=high, photos=self.photos + len(figures))

    def problem(self, prepared: Prepared) -> str:
        """Say in a few words why a photo cannot be judged; empty if it can."""
        if self.expects_part and not prepared.part_found:
            return NO_PART
        known = len(self.low)
        figures = input_figures(prepared)[:known]
        margin = np.maximum(self.high - self.low, (_LEAST_MARGIN * (1 + _OF_FEW / self.photos))[:known])
        # Plainer figures come first: an empty frame is not sharp either.
        for name, below, above in zip(FIGURES, figures < self.low - margin, figures > self.high + margin, strict=False):
            problem = _PROBLEMS.get((name, int(above) - int(below)))
            if problem is not None:
                return problem
        return ""

    def state(self) -> dict[str, list[float] | bool | int]:
        """Return plain values that ``from_state`` takes back."""
        low, high = self.low.tolist(), self.high.tolist()
        return {"low": low, "high": high, "expects_part": self.expects_part, "photos": self.photos}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> InputCheck:
        """Restore a check from its ``state``."""
        low, high = np.asarray(state["low"], float), np.asarray(state["high"], float)
        return cls(low, high, bool(state["expects_part"]), int(state.get("photos", 1)))  # early models lack the number


def input_figures(prepared: Prepared) -> np.ndarray:
    """Measure ``FIGURES`` of a prepared photo, float64 (5,): mean lightness (0 to 1), and four logarithms.

    Contrast is the standard deviation of the lightness, detail that of its Laplacian, both on a small copy of the
    photo's own pixels inside the frame; sharpness is that of the Laplacian on the frame as it is (Pech-Pacheco et al.
    2000). One grey level of 255 is their floor. Size is the part's share of the photo's area.
    """
    grey = cv2.cvtColor(prepared.photo, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    detail, sharpness = cv2.Laplacian(small, cv2.CV_32F).std(), cv2.Laplacian(grey, cv2.CV_32F).std()
    frame_of_photo = abs(np.linalg.det(prepared.transform[:, :2])) * math.prod(prepared.photo_size)
    share = max(int(prepared.mask.sum()), 1) / frame_of_photo
    return np.array([small.mean(), *np.log(np.array([small.std(), detail, sharpness]) + 1 / 255), math.log(share)])
