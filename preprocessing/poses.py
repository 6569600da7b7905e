"""How parts lie in the training photos: whether they have to be turned, and in which frame they fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastener.preprocessing.registration import has_long_axis, padded, turned_box, upright_angle
from fastener.preprocessing.segmentation import Part

_NEARLY_ALL = 0.95
_STEADY = np.deg2rad(10.0)


@dataclass(frozen=True)
class Pose:
    """How the part lies in a photo.

    Parameters
    ----------
    angle : float
        By which its long axis becomes vertical, in radians; NaN if it has none.
    extent : ndarray of float64, (2,)
        Width and height of the box round the upright part, in pixels of the photo that it was sought in.
    alone : bool
        Whether the photo shows one piece, all of it, and nothing that touches the border.
    """

    angle: float
    extent: np.ndarray
    alone: bool

    @classmethod
    def of(cls, part: Part, padding: float = 0.0) -> Pose:
        """Of a part that was found; ``padding`` widens the box, as a share of its longer side."""
        long = part.pieces == 1 and has_long_axis(part.mask)
        angle = upright_angle(part.mask) if long else np.nan
        low, high = turned_box(part.mask, np.eye(2, 3), angle if long else 0.0)
        border = (part.mask[0], part.mask[-1], part.mask[:, 0], part.mask[:, -1])
        alone = part.found and part.pieces == 1 and not any(side.any() for side in border)
        return cls(angle, padded(high - low, padding), alone)


def lie_at_various_angles(poses: Sequence[Pose]) -> bool:
    """Tell whether nearly every photo shows one long part, and these parts lie at various angles.

    Angles vary if their circular standard deviation, of axes without a direction, is over 10 degrees (Mardia and Jupp
    2000, "Directional Statistics", section 2.3.3).
    """
    long = [pose.angle for pose in poses if pose.alone and not np.isnan(pose.angle)]
    if len(long) < max(2.0, _NEARLY_ALL * len(poses)):
        return False
    length = abs(np.exp(2j * np.array(long)).mean())
    return bool(length < np.exp(-2.0 * _STEADY**2))
