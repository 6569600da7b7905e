"""Closing, filling and opening of masks, with reaches in proportion to the photo."""

from __future__ import annotations

import cv2
import numpy as np

# Gaps in an outline up to twice this wide, in parts of the photo's longer side, are closed.
_GAP = 0.01
# Notches of up to twice this width are filled if more than this share of their rim is part of the mask.
_NOTCH, _NOTCH_ENCLOSED = 0.03, 0.75
_SPECK = 0.003  # half the width, in parts of the longer side, of specks
_NARROW = 0.0125  # half the width, in parts of the longer side, up to which a faint bay is the blur of an outline


def components(mask: np.ndarray, connectivity: int = 8) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Find the connected pieces of uint8 ``mask`` (H, W): count, labels (H, W), statistics and centres, as OpenCV does.

    Short labels, where they suffice, take half of the time.
    """
    kind = cv2.CV_16U if cv2.countNonZero(mask) < np.iinfo(np.uint16).max else cv2.CV_32S
    return cv2.connectedComponentsWithStats(mask, connectivity=connectivity, ltype=kind)


def box_of(mask: np.ndarray, margin: int = 0) -> tuple[slice, slice]:
    """Find the rows and columns that hold all of bool ``mask`` (H, W), with a margin as far as there are pixels."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    bottom, right = min(y + height + margin, mask.shape[0]), min(x + width + margin, mask.shape[1])
    return np.s_[max(0, y - margin) : bottom, max(0, x - margin) : right]


def closed(mask: np.ndarray, reach: int = 0, within: tuple[slice, slice] | None = None) -> np.ndarray:
    """Close gaps of bool ``mask`` (H, W) that are narrower than twice ``reach`` pixels, or than 2 % of the photo.

    Only the pixels ``within`` some rows and columns are returned, if given.
    """
    reach = reach or max(1, round(_GAP * max(mask.shape)))
    rows, columns = within or box_of(mask)  # closing adds nothing beyond the box
    # Beyond the photo there is nothing: without a margin closing would join what is near its border to that.
    margin = 2 * reach
    wider = np.zeros((rows.stop - rows.start + 2 * margin, columns.stop - columns.start + 2 * margin), np.uint8)
    near = mask[
        max(0, rows.start - margin) : rows.stop + margin, max(0, columns.start - margin) : columns.stop + margin
    ]
    top, left = margin - min(rows.start, margin), margin - min(columns.start, margin)
    wider[top : top + near.shape[0], left : left + near.shape[1]] = near
    solid = cv2.morphologyEx(wider, cv2.MORPH_CLOSE, ellipse(reach))[margin:-margin, margin:-margin] > 0
    if within:
        return np.asarray(solid)
    result = np.zeros_like(mask)
    result[rows, columns] = solid
    return result


def mended(mask: np.ndarray) -> np.ndarray:
    """Fill notches and bays of bool ``mask`` (H, W) with a narrow mouth: highlights and bright faces at the outline.

    A notch is what closing adds or encloses, if most of its rim is part of the mask. The corners of heads and the
    valleys of threads are open on a third of theirs. The gap of a ring is filled, too; ``cut_holes`` opens it again.
    """
    reach = max(1, round(_NOTCH * max(mask.shape)))
    result = mask.copy()
    box = box_of(mask, 1)
    part = np.ascontiguousarray(mask[box])
    added = (filled(closed(part, reach)) & ~part).view(np.uint8)
    if cv2.countNonZero(added) < reach**2:
        return result
    count, labels, stats, _ = components(added, 4)
    for label in range(1, count):
        if stats[label, cv2.CC_STAT_AREA] < reach**2:
            continue
        at = box_of(labels == label, 1)
        notch = labels[at] == label
        rim = (cv2.dilate(notch.view(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~notch
        if part[at][rim].mean() > _NOTCH_ENCLOSED:
            result[box][at] |= notch
    return result


def with_faint_bays(mask: np.ndarray, faint: np.ndarray) -> np.ndarray:
    """Add to bool ``mask`` (H, W) its bays that are ``faint``, bool (H, W): faces that nearly have the ground's colour.

    Most of the rim of a face is the rest of the part. A shadow lies beside the part: at most some 60 % of its rim is.
    """
    reach = max(2, round(_NARROW * max(mask.shape)))
    disc = ellipse(reach)
    beside = (filled(mask | faint) & ~mask).view(np.uint8)
    wide = cv2.morphologyEx(beside, cv2.MORPH_OPEN, disc)
    if not cv2.countNonZero(wide):
        return mask
    count, labels, stats, _ = components(wide, 4)
    result = mask
    for label in range(1, count):
        x, y, width, height, _ = stats[label].tolist()
        near = np.s_[max(0, y - reach) : y + height + reach, max(0, x - reach) : x + width + reach]
        bay = (labels[near] == label).view(np.uint8)
        wider = cv2.dilate(bay, disc) > 0
        rim = wider & (cv2.dilate(bay, np.ones((3, 3), np.uint8)) == 0)
        if mask[near][rim].mean() > _NOTCH_ENCLOSED:
            result = result.copy()
            result[near] |= wider & beside[near].view(bool)
    return result


def filled(mask: np.ndarray) -> np.ndarray:
    """All that the outlines of bool ``mask`` (H, W) enclose."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    whole = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(whole, contours, -1, 1, cv2.FILLED)
    return whole > 0


def opened(mask: np.ndarray, photo: tuple[int, ...] | None = None) -> np.ndarray:
    """Take out of bool ``mask`` (h, w) what is narrower than 0.6 % of a photo of the shape ``photo``: uint8 (h, w)."""
    disc = ellipse(max(1, round(_SPECK * max(photo or mask.shape))))
    return np.asarray(cv2.morphologyEx(mask.view(np.uint8), cv2.MORPH_OPEN, disc), np.uint8)


def ellipse(reach: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
