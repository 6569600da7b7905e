"""The one piece of a prepared photo whose outline can be measured, or the reason why there is none."""

from __future__ import annotations

import cv2
import numpy as np

from fastener.preprocessing.pipeline import Prepared
from fastener.preprocessing.registration import inside_photo
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
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]
    if count == 1 or areas.max() < _SMALLEST:
        return "the part is too small"
    if (areas >= _COMPARABLE * areas.max()).sum() > 1:
        return "several pieces"
    piece = np.asarray(labels == 1 + int(areas.argmax()))
    if (piece & _edge_of(prepared)).sum() > _MOST_CUT:
        return "the part is cut off by the photo's border"
    return piece


def _edge_of(prepared: Prepared) -> np.ndarray:
    """Mark the outermost pixels of the frame that lie in the photo: bool (h, w)."""
    size = prepared.mask.shape
    inside = inside_photo(prepared.transform, prepared.photo_size, (size[0], size[1])).astype(np.uint8)
    inner = cv2.erode(inside, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray((inside > 0) & (inner == 0))
