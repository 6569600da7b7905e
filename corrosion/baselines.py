"""Measure the T0 shots of a component: their colours, and how they react to small disturbances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastener.common.errors import UserError
from fastener.config import CorrosionSettings
from fastener.corrosion.calibration import no_change_level
from fastener.corrosion.colour_growth import Colour, measure
from fastener.corrosion.colour_sectors import Sectors
from fastener.corrosion.growth import HeatBaseline
from fastener.corrosion.shots import ShotView, heat_baselines, in_threads
from fastener.corrosion.zones import Zone
from fastener.inspection.inspector import Inspector


@dataclass(frozen=True)
class BaselineShot:
    """Hold a T0 shot and what later shots are compared with.

    Parameters
    ----------
    view
        The shot itself, with the significant surface only.
    whole
        The shot with the whole part, by which later shots are registered.
    zone
        The significant places of its frame, bool (h, w); None if the whole part is significant.
    colour
        Shares of its surface by colour.
    no_change
        Apparent white deposit and dark patches, in percent of the part, caused by disturbances of the photo.
    heat
        Its anomaly map, with and without disturbances; None without a model.
    noise
        Apparent growth in percent caused by each small disturbance of the photo; empty without a model.
    """

    view: ShotView
    whole: ShotView
    zone: np.ndarray | None
    colour: Colour
    no_change: tuple[float, float]
    heat: HeatBaseline | None
    noise: list[float]


def measure_baselines(
    views: Sequence[ShotView],
    sectors: Sectors,
    inspector: Inspector | None,
    *,
    settings: CorrosionSettings,
    zone: Zone | None = None,
) -> list[BaselineShot]:
    """Measure the T0 shots, and how surfaces and heatmaps react to small disturbances.

    ``zone`` marks the significant surface; None for the whole part. Raises UserError if it misses the part in a shot.
    """
    zones = [None if zone is None else zone(view.shot.path, view.prepared) for view in views]
    wholes, views = views, [_significant(view, one) for view, one in zip(views, zones, strict=True)]
    heats: Sequence[tuple[HeatBaseline | None, list[float]]] = [(None, [])] * len(views)
    if inspector is not None:
        heats = heat_baselines(views, inspector, dead_band=settings.dead_band)

    def surface(view: ShotView) -> tuple[Colour, tuple[float, float]]:
        colour = measure_alone(view, sectors, settings)
        return colour, no_change_level(view.scene, colour.classes > 0, settings)

    return [
        BaselineShot(view, whole, one, colour, level, heat, noise)
        for view, whole, one, (colour, level), (heat, noise) in zip(
            views, wholes, zones, in_threads(surface, views), heats, strict=True
        )
    ]


def measure_alone(view: ShotView, sectors: Sectors, settings: CorrosionSettings) -> Colour:
    """Measure the colours of a shot without a T0 to tell the part's own colours by."""
    return measure(view.surface, sectors, None, reach=settings.own_hue_reach, light_certain=view.light.certain)


def _significant(view: ShotView, zone: np.ndarray | None) -> ShotView:
    if zone is None:
        return view
    within = view.within(zone)
    if not within.surface.mask.any():
        raise UserError(f"--zone: covers no part of {view.shot.path}; draw it on the part as this photo shows it")
    return within
