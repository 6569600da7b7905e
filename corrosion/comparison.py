"""One later shot against the T0 shots of its component: place by place where they can be registered."""

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
from fastener.corrosion.shots import ShotView, heat_of_baseline
from fastener.inspection.inspector import Inspector

PLACES, DISTRIBUTIONS, NO_VIEW = "places", "distributions", "distributions, view not at T0"
Z95 = 1.96
# Of two T0 shots that fit alike, the one with the later shot's number is meant.
_SAME_NUMBER = 0.05


@dataclass(frozen=True)
class BaselineShot:
    """A T0 shot as later ones are compared with. ``noise``: growths in percent that small disturbances of it feign."""

    look: ShotView
    colour: Colour
    heat: HeatBaseline
    noise: list[float]


@dataclass(frozen=True)
class MeasuredShot:
    """One shot and its figures. ``compared``: how with T0, "" for T0 itself and without T0; ``growth`` in percent.

    changes: rust, tarnish and green since T0, each with its noise; None without T0. ``view``: which T0 shot shows the
    same side, None if none does. ``growth_noise``: the greatest growth that disturbances of T0 feign.
    """

    look: ShotView
    colour: Colour
    growth: float | None
    growth_noise: float
    compared: str
    registration: Registration | None
    view: int | None
    changes: tuple[Change, Change, Change] | None
    flags: tuple[str, ...]


def first_shot(look: ShotView, sectors: Sectors, inspector: Inspector, settings: CorrosionSettings) -> BaselineShot:
    """Measure a T0 shot, and what its heatmap does under small disturbances."""
    colour = measure(look.surface, sectors, None, settings.own_hue_reach, look.light.certain)
    return BaselineShot(look, colour, *heat_of_baseline(look, inspector, settings.dead_band))


def as_measured(first: BaselineShot, view: int) -> MeasuredShot:
    """A T0 shot among the shots of its time point: no change, and the growth that disturbances alone give."""
    rust, tarnish, green = (Change(0.0, Z95 * deviation) for deviation in first.colour.deviations)
    growth = float(np.mean(first.noise))
    changes = (rust, tarnish, green)
    return MeasuredShot(first.look, first.colour, growth, max(first.noise), "", None, view, changes, first.look.flags)


def without_baseline(look: ShotView, sectors: Sectors, settings: CorrosionSettings) -> MeasuredShot:
    """A shot of a component without T0: its colours, and nothing to compare them with."""
    colour = measure(look.surface, sectors, None, settings.own_hue_reach, look.light.certain)
    return MeasuredShot(look, colour, None, 0.0, "", None, None, None, look.flags)


def compare(
    look: ShotView, firsts: Sequence[BaselineShot], sectors: Sectors, threshold: float, settings: CorrosionSettings
) -> MeasuredShot:
    """Measure a later shot against the T0 shot that shows the same view, or against all where none does.

    ``threshold`` is the model's. Same view: the outlines agree. Place by place: the surfaces correlate as well.
    """
    index, registration = _best_view(look, firsts, settings)
    same_view = registration.overlap >= settings.min_overlap
    views = [firsts[index]] if same_view else list(firsts)
    placed = registration if registration.believable else None
    baseline = Baseline(
        tuple(one.look.surface for one in views), (views[0].look.surface, placed) if placed is not None else None
    )
    colour = measure(look.surface, sectors, baseline, settings.own_hue_reach, look.light.certain)
    growth = heat_growth(
        look.heat,
        look.heat_mask,
        colour.own_places[:: look.step, :: look.step],
        [one.heat for one in views],
        placed.coarse(look.step) if placed is not None else None,
        threshold,
        settings.dead_band,
    )
    compared = PLACES if placed is not None else DISTRIBUTIONS if same_view else NO_VIEW
    return MeasuredShot(
        look,
        colour,
        growth,
        max(max(one.noise) for one in views),
        compared,
        registration,
        index if same_view else None,
        _changes(colour, views, 0.0 if same_view else settings.new_view_margin),
        _flags(look, views, same_view, settings),
    )


def _best_view(look: ShotView, firsts: Sequence[BaselineShot], settings: CorrosionSettings) -> tuple[int, Registration]:
    """The T0 shot that lies best over this one."""
    found = []
    for index, first in enumerate(firsts):
        base = first.look.surface
        one = register(base.lightness, base.mask, look.surface.lightness, look.surface.mask, settings)
        bonus = _SAME_NUMBER * (first.look.shot.shot == look.shot.shot)
        found.append((one.believable, one.correlation + one.overlap + bonus, -index, one))
    best = max(found, key=lambda entry: entry[:3])
    return -best[2], best[3]


def _changes(colour: Colour, views: Sequence[BaselineShot], margin: float) -> tuple[Change, Change, Change]:
    def change(name: str, kind: int) -> Change:
        before = float(np.mean([getattr(one.colour, name) for one in views]))
        spread = float(np.mean([one.colour.deviations[kind] for one in views]))
        return Change(getattr(colour, name) - before, Z95 * float(np.hypot(colour.deviations[kind], spread)) + margin)

    return change("rust", 0), change("tarnish", 1), change("green", 2)


def _flags(
    look: ShotView, views: Sequence[BaselineShot], same_view: bool, settings: CorrosionSettings
) -> tuple[str, ...]:
    flags = list(look.flags)
    sharpest = [one.look.sharpness for one in views]
    if look.sharpness < settings.min_sharpness * (max(sharpest) if same_view else min(sharpest)):
        flags.append(quality.BLURRED)
    if not same_view:
        flags.append(quality.NEW_VIEW)
    return tuple(flags)
