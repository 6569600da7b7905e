"""Training photos whose part has an outline unlike all others: a mask that was cut, or a part of another kind."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from fastener.models.calibration import gross_outliers
from fastener.preprocessing.morphology import filled
from fastener.preprocessing.pipeline import Prepared

_FEWEST = 8  # with fewer photos nobody can say what is usual
_LEAST_SPREAD = np.array([0.05, 0.02, 0.05, 0.02])  # differences below these are no news


def outline_figures(prepared: Prepared) -> np.ndarray:
    """Measure a part's outline in the canonical frame, float64 (4,); NaN where no part was found.

    The figures are the logarithm of the filled outline's share of the frame, its solidity (area over that of the convex
    hull), the logarithm of its elongation, and the share of it that is holes.
    """
    mask = prepared.mask
    if not prepared.part_found or not mask.any() or mask.all():
        return np.full(4, np.nan)
    whole = filled(mask)
    points = np.argwhere(whole)[:, ::-1].astype(np.float32)
    sides = np.maximum(cv2.minAreaRect(points)[1], 1.0)
    solidity = whole.sum() / max(cv2.contourArea(cv2.convexHull(points)), 1.0)
    holes = 1 - mask.sum() / whole.sum()
    return np.array([np.log(whole.mean()), solidity, np.log(max(sides) / min(sides)), holes], float)


def odd_outlines(figures: np.ndarray, groups: npt.ArrayLike) -> np.ndarray:
    """Find photos whose outline is far from that of every photo of another group: indices int64 (k,), oddest first.

    ``figures`` (n, 4) are as ``outline_figures`` gives them; rows of NaN are passed over. Each figure is in robust
    deviations, and a photo is compared with its nearest other photo, so that a nut is not odd among bolts where there
    is another nut. The test is that of ``gross_outliers``.
    """
    seen = np.flatnonzero(~np.isnan(figures).any(axis=1))
    labels = np.asarray(groups)[seen]
    if len(np.unique(labels)) < _FEWEST:
        return np.empty(0, np.int64)
    values = figures[seen]
    spread = np.maximum(np.median(np.abs(values - np.median(values, axis=0)), axis=0) * 1.4826, _LEAST_SPREAD)
    scaled = values / spread
    apart = np.linalg.norm(scaled[:, None] - scaled[None], axis=2)
    apart[labels[:, None] == labels[None]] = np.inf
    return np.asarray(seen[gross_outliers(apart.min(axis=1))])
