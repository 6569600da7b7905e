"""How far the anomaly map of a part rises above its own T0.

growth = 100 % * mean over the part of clip((m - e - k * s) / max(t - l, t / 2), 0, 1), where
    m   is the anomaly map of the shot,
    e   its T0 envelope: the greatest value near the same place of T0's map, over small shifts and changes of light,
    s   the spread of T0's maps, over the surface and over those disturbances,
    k   ``dead_band`` of the settings,
    t   the model's threshold, from which a place counts as anomalous, and l the level (median) of T0; the half of t
        is for parts that the model was never shown, whose T0 lies near the alarm already.
0 % means that no place rises above what T0 shows; 100 % that the whole surface has gone from T0's level to the alarm.
Where the shots cannot be laid over each other, the sorted values of m and e are compared instead of places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from fastener.corrosion.registration import Registration

# Registration is good to about this part of the frame.
_REACH = 0.02
_QUANTILES = 1000
# Small disturbances of a T0 photo: turn in degrees, shift in parts of the longer side, exposure as a factor.
_DISTURBANCES = ((4.0, 0.01, 0.9), (-4.0, -0.01, 1.1), (1.5, -0.02, 0.95))


@dataclass(frozen=True)
class HeatBaseline:
    """T0's anomaly maps in its canonical frame, one for the shot and each disturbance of it.

    envelope: float32 (h, w), level and spread in units of the map; mask: bool (h, w).
    """

    envelope: np.ndarray
    mask: np.ndarray
    level: float
    spread: float


def disturbed_photos(photo: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The photo, uint8 RGB (H, W, 3), laid down and lit a little differently, and the transforms (2, 3) to that.

    Its border is repeated where the photo ends.
    """
    height, width = photo.shape[:2]
    result = []
    for turn, shift, exposure in _DISTURBANCES:
        move = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn, 1.0)
        move[:, 2] += shift * max(height, width)
        table = np.clip(np.rint(np.arange(256) * exposure), 0, 255).astype(np.uint8)
        moved = cv2.warpAffine(photo, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
        result.append((np.asarray(cv2.LUT(moved, table), np.uint8), move))
    return result


def heat_noise(maps: Sequence[np.ndarray], mask: np.ndarray, threshold: float, dead_band: float) -> list[float]:
    """Growth in percent of each disturbance, ``maps[1:]``, over the undisturbed T0, ``maps[0]``: float (h, w) each."""
    alone = heat_baseline(maps[:1], [mask])
    still = Registration(np.eye(2, 3), 1.0, 1.0, True)
    nowhere = np.zeros(mask.shape, bool)
    return [heat_growth(map_, mask, nowhere, [alone], still, threshold, dead_band) for map_ in maps[1:]]


def heat_baseline(maps: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> HeatBaseline:
    """From the maps of a T0 shot and its disturbances, float (h, w) with bool masks, laid over the first of them."""
    values = [map_[mask] for map_, mask in zip(maps, masks, strict=True) if mask.any()]
    pooled = np.concatenate(values) if values else np.zeros(1)
    envelope = np.where(masks[0], np.maximum.reduce(list(maps)), 0.0).astype(np.float32)
    # Variance over the surface and over the disturbances together; median and quantiles, as maps have long tails.
    level, upper = np.quantile(pooled, [0.5, 0.84])
    return HeatBaseline(envelope, masks[0], float(level), float(max(upper - level, pooled.std())))


def heat_growth(
    map_: np.ndarray,
    mask: np.ndarray,
    own: np.ndarray,
    baselines: Sequence[HeatBaseline],
    registration: Registration | None,
    threshold: float,
    dead_band: float,
) -> float:
    """Growth of one shot in percent, see above.

    ``map_`` float (h, w), ``mask`` bool (h, w), the part; ``own`` bool (h, w): places that only show a colour of T0's,
    which do not count as risen. With ``registration`` the first of ``baselines`` is compared place by place, else all
    by their sorted values.
    """
    values = np.where(own, -np.inf, map_)[mask]
    if not values.size or not baselines:
        return 0.0
    if registration is not None:
        first = baselines[0]
        side = 2 * max(1, round(_REACH * max(mask.shape))) + 1
        envelope = cv2.dilate(first.envelope, np.ones((side, side), np.uint8))
        expected = np.maximum(registration.warp(envelope, (mask.shape[0], mask.shape[1])), first.level)[mask]
        level, spread = first.level, first.spread
    else:
        grid = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
        pooled = np.concatenate([one.envelope[one.mask] for one in baselines])
        expected = np.quantile(pooled, grid)
        values = np.quantile(np.where(np.isfinite(values), values, pooled.min()), grid)
        level, spread = float(np.median(pooled)), max(one.spread for one in baselines)
    unit = max(threshold - level, threshold / 2.0, 1e-6)
    return 100.0 * float(np.clip((values - expected - dead_band * spread) / unit, 0.0, 1.0).mean())
