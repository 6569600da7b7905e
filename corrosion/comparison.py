"""Compare a later shot with the T0 shots of its component: place by place where the two can be registered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastener.config import CorrosionSettings
from fastener.corrosion import quality
from fastener.corrosion.colour_growth import Baseline, Colour, Sectors, measure
from fastener.corrosion.growth import HeatBaseline, heat_growth
from fastener.corrosion.registration import Registration, register
from fastener.corrosion.severity import Change
from fastener.corrosion.shots import ShotView, heat_baselines
from fastener.inspection.inspector import Inspector

PLACES, DISTRIBUTIONS, NO_VIEW = "places", "distributions", "distributions, view not at T0"
Z95 = 1.96
# Prefer equal shot numbers when two T0 shots fit equally well.
_SAME_NUMBER = 0.05


@dataclass(frozen=True)
class BaselineShot:
    """Hold a T0 shot and what later shots are compared with.

    Parameters
    ----------
    view
        The shot itself.
    colour
        Shares of its surface by colour.
    heat
        Its anomaly map, with and without disturbances.
    noise
        Apparent growth in percent caused by each small disturbance of the photo.
    """

    view: ShotView
    colour: Colour
    heat: HeatBaseline
    noise: list[float]


@dataclass(frozen=True)
class MeasuredShot:
    """Hold one shot and its figures.

    Parameters
    ----------
    view
        The shot itself.
    colour
        Shares of its surface by colour.
    growth
        Heatmap growth since T0 in percent; None without T0.
    growth_noise
        Greatest apparent growth in percent caused by disturbances of the T0 photo.
    compared
        How the shot was compared with T0: ``PLACES``, ``DISTRIBUTIONS`` or ``NO_VIEW``; "" for a T0 shot, and where
        there is no T0.
    registration
        How T0 lies over this shot; None where nothing was registered.
    baseline_index
        Index of the T0 shot that shows the same side of the part; None if no T0 shot does.
    changes
        Change of rust, tarnish and green since T0, each with its noise, in percentage points; None without T0.
    flags
        Faults of the photo, see ``quality``.
    """

    view: ShotView
    colour: Colour
    growth: float | None
    growth_noise: float
    compared: str
    registration: Registration | None
    baseline_index: int | None
    changes: tuple[Change, Change, Change] | None
    flags: tuple[str, ...]


def measure_baselines(
    views: Sequence[ShotView], sectors: Sectors, inspector: Inspector, *, settings: CorrosionSettings
) -> list[BaselineShot]:
    """Measure the T0 shots, and how their heatmaps react to small disturbances."""
    heats = heat_baselines(views, inspector, dead_band=settings.dead_band)
    return [
        BaselineShot(view, _measure_alone(view, sectors, settings), heat, noise)
        for view, (heat, noise) in zip(views, heats, strict=True)
    ]


def baseline_as_measured(baseline: BaselineShot, index: int) -> MeasuredShot:
    """Present T0 shot number ``index`` as a measured shot: no change, and only the growth that disturbances cause."""
    rust, tarnish, green = (Change(0.0, Z95 * deviation) for deviation in baseline.colour.deviations)
    return MeasuredShot(
        view=baseline.view,
        colour=baseline.colour,
        growth=float(np.mean(baseline.noise)),
        growth_noise=max(baseline.noise),
        compared="",
        registration=None,
        baseline_index=index,
        changes=(rust, tarnish, green),
        flags=baseline.view.flags,
    )


def measure_without_baseline(view: ShotView, sectors: Sectors, settings: CorrosionSettings) -> MeasuredShot:
    """Measure the colours of a shot whose component has no T0 to compare with."""
    return MeasuredShot(
        view=view,
        colour=_measure_alone(view, sectors, settings),
        growth=None,
        growth_noise=0.0,
        compared="",
        registration=None,
        baseline_index=None,
        changes=None,
        flags=view.flags,
    )


def compare(
    view: ShotView,
    baselines: Sequence[BaselineShot],
    sectors: Sectors,
    *,
    threshold: float,
    settings: CorrosionSettings,
) -> MeasuredShot:
    """Measure a later shot against the T0 shot of the same view, or against all T0 shots if none shows that view.

    Two shots show the same view if their outlines agree. They are compared place by place if their surfaces correlate
    as well. ``threshold`` is the model's decision threshold.
    """
    index, registration = _best_baseline(view, baselines, settings)
    same_view = registration.overlap >= settings.min_overlap
    chosen = [baselines[index]] if same_view else list(baselines)
    placed = registration if registration.believable else None
    colour_baseline = Baseline(
        tuple(one.view.surface for one in chosen), (chosen[0].view.surface, placed) if placed is not None else None
    )
    colour = measure(
        view.surface,
        sectors,
        colour_baseline,
        reach=settings.own_hue_reach,
        light_certain=view.light.certain,
    )
    growth = heat_growth(
        view.heat,
        view.heat_mask,
        own=colour.own_places[:: view.step, :: view.step],
        baselines=[one.heat for one in chosen],
        registration=placed.coarse(view.step) if placed is not None else None,
        threshold=threshold,
        dead_band=settings.dead_band,
    )
    return MeasuredShot(
        view=view,
        colour=colour,
        growth=growth,
        growth_noise=max(max(one.noise) for one in chosen),
        compared=PLACES if placed is not None else DISTRIBUTIONS if same_view else NO_VIEW,
        registration=registration,
        baseline_index=index if same_view else None,
        changes=_changes(colour, chosen, 0.0 if same_view else settings.new_view_margin),
        flags=_flags(view, chosen, same_view, settings),
    )


def _measure_alone(view: ShotView, sectors: Sectors, settings: CorrosionSettings) -> Colour:
    """Measure the colours of a shot without a T0 to tell the part's own colours by."""
    return measure(view.surface, sectors, None, reach=settings.own_hue_reach, light_certain=view.light.certain)


def _best_baseline(
    view: ShotView, baselines: Sequence[BaselineShot], settings: CorrosionSettings
) -> tuple[int, Registration]:
    """Find the T0 shot that fits best over this shot: its index, and how it lies."""
    found = []
    for index, baseline in enumerate(baselines):
        base, later = baseline.view.surface, view.surface
        one = register(
            base.lightness, later.lightness, baseline_mask=base.mask, later_mask=later.mask, settings=settings
        )
        bonus = _SAME_NUMBER * (baseline.view.shot.number == view.shot.number)
        found.append((one.believable, one.correlation + one.overlap + bonus, -index, one))
    best = max(found, key=lambda entry: entry[:3])
    return -best[2], best[3]


def _changes(colour: Colour, chosen: Sequence[BaselineShot], margin: float) -> tuple[Change, Change, Change]:
    def change(name: str, kind: int) -> Change:
        before = float(np.mean([getattr(one.colour, name) for one in chosen]))
        spread = float(np.mean([one.colour.deviations[kind] for one in chosen]))
        return Change(getattr(colour, name) - before, Z95 * float(np.hypot(colour.deviations[kind], spread)) + margin)

    return change("rust", 0), change("tarnish", 1), change("green", 2)


def _flags(
    view: ShotView, chosen: Sequence[BaselineShot], same_view: bool, settings: CorrosionSettings
) -> tuple[str, ...]:
    flags = list(view.flags)
    sharpness = [one.view.sharpness for one in chosen]
    if view.sharpness < settings.min_sharpness * (max(sharpness) if same_view else min(sharpness)):
        flags.append(quality.BLURRED)
    if not same_view:
        flags.append(quality.NEW_VIEW)
    return tuple(flags)
