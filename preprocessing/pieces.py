"""The one piece of a prepared photo whose outline can be measured, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from fastener.preprocessing.pipeline import Prepared
from fastener.preprocessing.registration import apply, invert
from fastener.preprocessing.segmentation import find_part

# A piece this large beside the largest is another part, not a speck. More border pixels than this touch the photo's
# edge where a part is cut off.
_COMPARABLE, _MOST_CUT = 0.2, 3
_SMALLEST = 400  # pixels; a smaller part shows no shape


def piece_of(prepared: Prepared) -> np.ndarray | str:
    """Return the mask of the only part, bool (h, w), or say in a few words why its outline cannot be seen.

    Where no part was sought, it is sought in the frame.
    """
    mask = prepared.mask
    if not prepared.part_found:
        return "no part was found"
    if mask.all():
        found = find_part(prepared.photo)
        if not found.found:
            return "no part was found"
        mask = found.mask
    piece = _only_piece(mask)
    if isinstance(piece, str):
        return piece
    if _cut_off(piece, prepared) > _MOST_CUT:
        return "the part is cut off by the photo's border"
    return piece


def _only_piece(mask: np.ndarray) -> np.ndarray | str:
    """Return the largest connected piece of ``mask``, bool (h, w), or say why there is none, or no single one."""
    count, labels = cv2.connectedComponents(mask.view(np.uint8), ltype=cv2.CV_16U)
    # Counting the pixels of each piece takes longer than finding the pieces, and mostly there is but one.
    areas = np.bincount(labels.ravel(), minlength=count)[1:] if count > 2 else np.array([cv2.countNonZero(labels)])
    if areas.max(initial=0) < _SMALLEST:
        return "the part is too small"
    if (areas >= _COMPARABLE * areas.max()).sum() > 1:
        return "several pieces"
    return np.asarray(labels == 1 + int(areas.argmax()))


def _cut_off(piece: np.ndarray, prepared: Prepared) -> int:
    """Count the pixels of bool ``piece`` (h, w) beside which the photo or the frame ends."""
    solid = piece.view(np.uint8)
    back = invert(prepared.transform)
    # How far the eight neighbours of a frame pixel lie from it in the photo, along x and along y.
    reach = np.abs(back[:, :2]).sum(axis=1)

    def beyond(points: np.ndarray) -> np.ndarray:
        at_frame = _beyond(points, 1.0, piece.shape)
        return np.asarray(at_frame | _beyond(apply(back, points), reach, prepared.photo_size))

    x, y, width, height = cv2.boundingRect(solid)
    if not beyond(np.array([(i, j) for i in (x, x + width - 1) for j in (y, y + height - 1)], float)).any():
        return 0  # all pixels lie between these four
    inner = cv2.erode(solid, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return int(beyond(cv2.findNonZero(solid - inner).reshape(-1, 2).astype(float)).sum())


def _beyond(points: np.ndarray, reach: np.ndarray | float, size: Sequence[int]) -> np.ndarray:
    """Tell which of the points (n, 2), x then y, have no room of ``reach`` in a picture of ``size`` (h, w)."""
    return np.asarray(((points - reach < -0.5) | (points + reach > np.array([size[1], size[0]]) - 0.5)).any(axis=1))
