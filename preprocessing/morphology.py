"""Closing, filling and opening of masks, with reaches in proportion to the photo."""

from __future__ import annotations

import cv2
import numpy as np

# Gaps in an outline up to twice this wide, in parts of the photo's longer side, are closed.
_GAP = 0.01
# Notches of up to twice this width are filled if more than this share of their rim is part of the mask.
_NOTCH, _NOTCH_ENCLOSED = 0.03, 0.75
_NARROW = 0.0125  # half the width, in parts of the longer side, up to which a faint bay is the blur of an outline


def closed(mask: np.ndarray) -> np.ndarray:
    reach = max(1, round(_GAP * max(mask.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    # Beyond the photo there is nothing: without a margin closing would join what is near its border to that.
    wider = np.pad(mask.astype(np.uint8), reach)
    return cv2.morphologyEx(wider, cv2.MORPH_CLOSE, disc)[reach:-reach, reach:-reach] > 0


def mended(mask: np.ndarray) -> np.ndarray:
    """Fill notches and bays of bool ``mask`` (H, W) with a narrow mouth: highlights and bright faces at the outline.

    A notch is what closing adds or encloses, if most of its rim is part of the mask. The corners of heads and the
    valleys of threads are open on a third of theirs. The gap of a ring is filled, too; ``cut_holes`` opens it again.
    """
    reach = max(1, round(_NOTCH * max(mask.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    wider = np.pad(mask.astype(np.uint8), reach)
    whole = filled(cv2.morphologyEx(wider, cv2.MORPH_CLOSE, disc)[reach:-reach, reach:-reach] > 0)
    count, labels, stats, _ = cv2.connectedComponentsWithStats((whole & ~mask).astype(np.uint8), connectivity=4)
    result = mask.copy()
    for label in range(1, count):
        if stats[label, cv2.CC_STAT_AREA] < reach**2:
            continue
        notch = labels == label
        rim = (cv2.dilate(notch.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~notch
        if mask[rim].mean() > _NOTCH_ENCLOSED:
            result |= notch
    return result


def with_faint_bays(mask: np.ndarray, faint: np.ndarray) -> np.ndarray:
    """Add to bool ``mask`` (H, W) its bays that are ``faint``, bool (H, W): faces that nearly have the ground's colour.

    Most of the rim of a face is the rest of the part. A shadow lies beside the part: at most some 60 % of its rim is.
    """
    reach = max(2, round(_NARROW * max(mask.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    beside = (filled(mask | faint) & ~mask).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        cv2.morphologyEx(beside, cv2.MORPH_OPEN, disc), connectivity=4
    )
    result = mask
    for label in range(1, count):
        x, y, width, height, _ = stats[label].tolist()
        near = np.s_[max(0, y - reach) : y + height + reach, max(0, x - reach) : x + width + reach]
        bay = (labels[near] == label).astype(np.uint8)
        wider = cv2.dilate(bay, disc) > 0
        rim = wider & (cv2.dilate(bay, np.ones((3, 3), np.uint8)) == 0)
        if mask[near][rim].mean() > _NOTCH_ENCLOSED:
            result = result.copy()
            result[near] |= wider & beside[near].astype(bool)
    return result


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
