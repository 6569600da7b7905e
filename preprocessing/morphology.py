"""Closing, filling and opening of masks, with reaches in proportion to the photo."""

from __future__ import annotations

import cv2
import numpy as np

# Gaps in an outline up to twice this wide, in parts of the photo's longer side, are closed.
_GAP = 0.01


def closed(mask: np.ndarray) -> np.ndarray:
    reach = max(1, round(_GAP * max(mask.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    # Beyond the photo there is nothing: without a margin closing would join what is near its border to that.
    wider = np.pad(mask.astype(np.uint8), reach)
    return cv2.morphologyEx(wider, cv2.MORPH_CLOSE, disc)[reach:-reach, reach:-reach] > 0


def filled(mask: np.ndarray) -> np.ndarray:
    """All that the outlines of bool ``mask`` (H, W) enclose."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    whole = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(whole, contours, -1, 1, cv2.FILLED)
    return whole > 0


def opened(mask: np.ndarray) -> np.ndarray:
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, _disc(mask.shape))


def _disc(shape: tuple[int, ...]) -> np.ndarray:
    side = max(3, 2 * round(0.003 * max(shape)) + 1)
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
