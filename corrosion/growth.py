"""Measure how far the anomaly map of a part rises above its own T0.

growth = 100 % * mean over the part of clip((m - e - k * s) / max(t - l, t / 2), 0, 1), where
    m   is the anomaly map of the shot,
    e   is its T0 envelope: the greatest value of T0's map near the same place, over small shifts and changes of light,
    s   is the spread of T0's maps, over the surface and over these disturbances,
    k   is ``dead_band`` of the settings,
    t   is the model's threshold, above which a place counts as anomalous,
    l   is the level of T0's map, its median.
The bound t / 2 is for parts that the model was not trained on, whose T0 map may lie near the threshold already.
0 % means that no place rises above T0. 100 % means that the whole surface has risen from T0's level to the threshold.
Where the shots cannot be laid over each other, the sorted values of m and e are compared instead of places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from fastener.corrosion.registration import Registration

# Registration errs by about this share of the frame.
_REACH = 0.02
_QUANTILES = 1000
# Small disturbances of a T0 photo: turn in degrees, shift as a share of the longer side, exposure as a factor.
_DISTURBANCES = ((4.0, 0.01, 0.9), (-4.0, -0.01, 1.1), (1.5, -0.02, 0.95))


@dataclass(frozen=True)
class HeatBaseline:
    """Summarise the anomaly maps of a T0 shot and of its disturbed copies, in the shot's canonical frame.

    Parameters
    ----------
    envelope
        Greatest value of the maps at each place, float32 (h, w); 0 outside the part.
    mask
        The part, bool (h, w).
    level
        Median over the part, in units of the map.
    spread
        Deviation over the part and over the disturbances, in units of the map.
    """

    envelope: np.ndarray
    mask: np.ndarray
    level: float
    spread: float


def disturbed_photos(photo: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Move and relight a photo, uint8 RGB (H, W, 3), a little: copies, each with the transform (2, 3) from the photo.

    Where a copy reaches beyond the photo, the photo's border is repeated.
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


def heat_noise(maps: Sequence[np.ndarray], mask: np.ndarray, *, threshold: float, dead_band: float) -> list[float]:
    """Measure the apparent growth in percent of each disturbed map, ``maps[1:]``, over the undisturbed ``maps[0]``.

    All maps are float (h, w) and lie in one frame, in which ``mask``, bool (h, w), is the part.
    """
    alone = heat_baseline(maps[:1], [mask])
    still = Registration(np.eye(2, 3), 1.0, 1.0, True)
    nowhere = np.zeros(mask.shape, bool)
    return [
        heat_growth(
            map_,
            mask,
            own=nowhere,
            baselines=[alone],
            registration=still,
            threshold=threshold,
            dead_band=dead_band,
        )
        for map_ in maps[1:]
    ]


def heat_baseline(maps: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> HeatBaseline:
    """Summarise the maps of a T0 shot and of its disturbed copies, float (h, w) with bool masks, all in one frame."""
    values = [map_[mask] for map_, mask in zip(maps, masks, strict=True) if mask.any()]
    pooled = np.concatenate(values) if values else np.zeros(1)
    envelope = np.where(masks[0], np.maximum.reduce(list(maps)), 0.0).astype(np.float32)
    # The spread covers the surface and the disturbances. Maps have long tails: median and quantile are steadier.
    level, upper = np.quantile(pooled, [0.5, 0.84])
    return HeatBaseline(envelope, masks[0], float(level), float(max(upper - level, pooled.std())))


def heat_growth(
    map_: np.ndarray,
    mask: np.ndarray,
    *,
    own: np.ndarray,
    baselines: Sequence[HeatBaseline],
    registration: Registration | None,
    threshold: float,
    dead_band: float,
) -> float:
    """Measure the heatmap growth of one shot in percent, by the formula of this module.

    Parameters
    ----------
    map_
        Anomaly map of the shot, float (h, w).
    mask
        The part, bool (h, w).
    own
        Places that show a colour the part had at T0, bool (h, w); they do not count as risen.
    baselines
        T0 shots to compare with; without any, growth is 0.
    registration
        How the first of ``baselines`` lies over the shot, for a comparison place by place. None: the sorted values of
        all ``baselines`` are compared.
    threshold
        The model's decision threshold.
    dead_band
        Rise that does not count, in units of T0's spread.
    """
    values = np.where(own, -np.inf, map_)[mask]
    if not values.size or not baselines:
        return 0.0
    if registration is not None:
        base = baselines[0]
        side = 2 * max(1, round(_REACH * max(mask.shape))) + 1
        envelope = cv2.dilate(base.envelope, np.ones((side, side), np.uint8))
        expected = np.maximum(registration.warp(envelope, (mask.shape[0], mask.shape[1])), base.level)[mask]
        level, spread = base.level, base.spread
    else:
        grid = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
        pooled = np.concatenate([one.envelope[one.mask] for one in baselines])
        expected = np.quantile(pooled, grid)
        values = np.quantile(np.where(np.isfinite(values), values, pooled.min()), grid)
        level, spread = float(np.median(pooled)), max(one.spread for one in baselines)
    unit = max(threshold - level, threshold / 2.0, 1e-6)
    return 100.0 * float(np.clip((values - expected - dead_band * spread) / unit, 0.0, 1.0).mean())
