"""Compare a later shot with the T0 shots of its component: place by place where the two can be registered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from fastener.config import CorrosionSettings
from fastener.corrosion import quality
from fastener.corrosion.baselines import BaselineShot, measure_alone
from fastener.corrosion.colour_growth import Colour, measure
from fastener.corrosion.colour_sectors import RUST, Sectors
from fastener.corrosion.growth import heat_growth
from fastener.corrosion.own_colour import Baseline
from fastener.corrosion.places import square
from fastener.corrosion.registration import Registration
from fastener.corrosion.severity import Change, Changes
from fastener.corrosion.shots import ShotView
from fastener.corrosion.surface_change import SurfaceChange, all_classes, surface_change
from fastener.corrosion.views import OWN_MARKS, Match, View, match_view

PLACES, NO_VIEW = "places", "distributions, view not at T0"
Z95 = 1.96
# Half the width from which a piece of the part is no error of the registration, as a share of the frame's side.
_PIECE = 0.01
# Deposit that is lighter by less than this, in L*, is hard to see even for an eye.
_LITTLE_ROOM = 15.0
# Surfaces that correlate by less may belong to two parts of one kind.
_WEAK = 0.6
# No lamp makes a part this many times as light beside its background.
_OTHER_FINISH = 8.0
# At least this share of the part, in percent, has to be comparable.
_LEAST_JUDGED = 5.0
# T0's outline is looked for this many times, each time where the last look put it.
_LOOKS = 2


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
        How the shot was compared with T0: ``PLACES`` or ``NO_VIEW``; "" for a T0 shot, and where
        there is no T0.
    registration
        How T0 lies over this shot; None where nothing was registered.
    baseline_index
        Index of the T0 shot that shows the same side of the part; None if no T0 shot does.
    changes
        Changes since T0, each with its noise, in percentage points; None without T0.
    surface
        White deposit, dark patches and what cannot be judged; None where the shot was not compared place by place.
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
    changes: Changes | None
    surface: SurfaceChange | None
    flags: tuple[str, ...]

    @property
    def classes(self) -> np.ndarray:
        """What each pixel of the frame is, see ``colour_sectors`` and ``surface_change``: uint8 (h, w)."""
        return all_classes(self.colour, self.surface)


def baseline_as_measured(baseline: BaselineShot, index: int) -> MeasuredShot:
    """Present T0 shot number ``index`` as a measured shot: no change, and only the growth that disturbances cause.

    What is rust-coloured at T0 is the part's own colour, or was there before the test.
    """
    colour, noise = baseline.colour, baseline.noise
    rusty = colour.classes == RUST
    rust, tarnish, green = (Change(0.0, Z95 * deviation) for deviation in colour.deviations)
    white, dark = (Change(0.0, level) for level in baseline.no_change)
    return MeasuredShot(
        view=baseline.view,
        colour=replace(
            colour,
            rust=0.0,
            own=colour.own + colour.rust,
            classes=np.where(rusty, 0, colour.classes).astype(np.uint8),
            own_places=colour.own_places | rusty,
        ),
        growth=float(np.mean(noise)) if noise else None,
        growth_noise=max(noise, default=0.0),
        compared="",
        registration=None,
        baseline_index=index,
        changes=Changes(rust, tarnish, green, white, dark),
        surface=None,
        flags=baseline.view.flags,
    )


def measure_without_baseline(view: ShotView, sectors: Sectors, settings: CorrosionSettings) -> MeasuredShot:
    """Measure the colours of a shot whose component has no T0 to compare with."""
    return MeasuredShot(
        view=view,
        colour=measure_alone(view, sectors, settings),
        growth=None,
        growth_noise=0.0,
        compared="",
        registration=None,
        baseline_index=None,
        changes=None,
        surface=None,
        flags=view.flags,
    )


def compare(
    view: ShotView,
    baselines: Sequence[BaselineShot],
    sectors: Sectors,
    *,
    threshold: float | None,
    settings: CorrosionSettings,
) -> MeasuredShot:
    """Measure a later shot against the T0 shot of the same view, or against all T0 shots if none shows that view.

    Two shots of the same view are compared place by place, see ``match_view``.
    ``threshold`` is the model's decision threshold; None without a model.
    """
    views = [View(one.whole.picture, one.view.shot.number) for one in baselines]
    side = max(view.surface.mask.shape)
    match = match_view(View(view.picture, view.shot.number), views, side, settings)
    if not match.registration.believable and view.surface.mask.any():
        view, match = _looked_for(view, match, baselines, settings)
    index, registration = match.index, match.registration
    same_view = registration.believable
    if registration.bitten:
        view = view.with_part(_unbitten(view.surface.mask, baselines[index].whole.surface.mask, registration))
    zone = baselines[index].zone
    if same_view and zone is not None:
        size = (view.surface.mask.shape[0], view.surface.mask.shape[1])
        view = view.within(registration.warp(zone.astype(np.uint8), size) > 0)
    chosen = [baselines[index]] if same_view else list(baselines)
    placed = registration if same_view else None
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
    growth = None
    if view.heat is not None and threshold is not None:
        growth = heat_growth(
            view.heat,
            view.heat_mask,
            own=colour.own_places[:: view.step, :: view.step],
            baselines=[one.heat for one in chosen if one.heat is not None],
            registration=placed.coarse(view.step) if placed is not None else None,
            threshold=threshold,
            dead_band=settings.dead_band,
        )
    surface, hardly_seen = None, False
    if placed is not None:
        coloured = (colour.classes > 0) | colour.own_places
        surface = surface_change(chosen[0].view.scene, view.scene, placed, coloured, settings)
        hardly_seen = surface.judged < _LEAST_JUDGED
        surface = None if hardly_seen else surface
    return MeasuredShot(
        view=view,
        colour=colour,
        growth=growth,
        growth_noise=max((level for one in chosen for level in one.noise), default=0.0),
        compared=PLACES if same_view else NO_VIEW,
        registration=registration,
        baseline_index=index if surface is not None else None,
        changes=_changes(colour, surface, chosen, same_view, settings),
        surface=surface,
        flags=(
            *_flags(view, chosen, match, settings),
            *((quality.HARDLY_SEEN,) if hardly_seen else ()),
            *((quality.NEARLY_WHITE,) if surface is not None and surface.room < _LITTLE_ROOM else ()),
            *((quality.NO_ZONE,) if not same_view and any(one.zone is not None for one in chosen) else ()),
        ),
    )


def _looked_for(
    view: ShotView, match: Match, baselines: Sequence[BaselineShot], settings: CorrosionSettings
) -> tuple[ShotView, Match]:
    """Look for T0's part around the pieces that were found, of which deposit as light as the background left no more.

    The smallest disc around the pieces, or their convex hull, is taken for the part, and then the outline of the T0
    shot that fits best there. The view is the same only if the marks agree clearly.
    """
    size = (view.surface.mask.shape[0], view.surface.mask.shape[1])
    views = [View(one.whole.picture, one.view.shot.number) for one in baselines]
    found = []
    for part in _around(view.surface.mask):
        for _ in range(_LOOKS):
            again = match_view(View(view.with_part(part).picture, view.shot.number), views, max(size), settings)
            outline = baselines[again.index].whole.surface.mask.astype(np.uint8)
            part = again.registration.warp(outline, size) > 0
        if again.registration.believable and again.registration.marks >= settings.clear_marks:
            found.append((view.with_part(part), again))
    return max(found, key=lambda one: one[1].registration.fit, default=(view, match))


def _around(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest disc around the places of a bool (h, w), and their convex hull."""
    outline = cv2.convexHull(np.argwhere(mask)[:, ::-1].astype(np.int32))
    (x, y), radius = cv2.minEnclosingCircle(outline)
    blank = np.zeros(mask.shape, np.uint8)
    disc = cv2.circle(blank.copy(), (round(x), round(y)), round(radius), 1, cv2.FILLED)
    return disc > 0, cv2.fillConvexPoly(blank, outline, 1) > 0


def _unbitten(mask: np.ndarray, before: np.ndarray, registration: Registration) -> np.ndarray:
    """Add to ``mask`` the pieces of T0's part ``before`` that it lacks, both bool (h, w); slivers err in place."""
    size = (mask.shape[0], mask.shape[1])
    lacking = ((registration.warp(before.astype(np.uint8), size) > 0) & ~mask).astype(np.uint8)
    return mask | (cv2.morphologyEx(lacking, cv2.MORPH_OPEN, square(_PIECE * max(size))) > 0)


def _changes(
    colour: Colour,
    surface: SurfaceChange | None,
    chosen: Sequence[BaselineShot],
    same_view: bool,
    settings: CorrosionSettings,
) -> Changes:
    """Compare the shares with T0's. Place by place, the rust of T0 is left out already."""

    def change(name: str, kind: int, placed: bool) -> Change:
        before = 0.0 if placed else float(np.mean([getattr(one.colour, name) for one in chosen]))
        spread = float(np.mean([one.colour.deviations[kind] for one in chosen]))
        noise = Z95 * float(np.hypot(colour.deviations[kind], spread))
        return Change(
            getattr(colour, name) - before, noise + (0.0 if surface is not None else settings.new_view_margin)
        )

    white = dark = None
    if surface is not None:
        (of_white, of_dark), levels = surface.deviations, chosen[0].no_change
        white = Change(surface.white, float(np.hypot(Z95 * of_white, levels[0])))
        dark = Change(surface.dark, float(np.hypot(Z95 * of_dark, levels[1])))
    return Changes(change("rust", 0, same_view), change("tarnish", 1, False), change("green", 2, False), white, dark)


def _flags(
    view: ShotView, chosen: Sequence[BaselineShot], match: Match, settings: CorrosionSettings
) -> tuple[str, ...]:
    flags, registration = list(view.flags), match.registration
    sharpness = [one.view.sharpness for one in chosen]
    if view.sharpness < settings.min_sharpness * (max(sharpness) if registration.believable else min(sharpness)):
        flags.append(quality.BLURRED)
    if registration.mirrored:
        flags.append(quality.MIRRORED)
    elif not registration.believable:
        flags.append(quality.OTHER_NUMBER if match.unnumbered else quality.NEW_VIEW)
    else:
        if _is_weak(registration):
            flags.append(quality.WEAKLY_KNOWN)
        if abs(np.log(_usual_luminance(view) / _usual_luminance(chosen[0].view))) > np.log(_OTHER_FINISH):
            flags.append(quality.OTHER_FINISH)
    return tuple(flags)


def _usual_luminance(view: ShotView) -> float:
    """Return the median luminance of the part, with its background as 1."""
    lightness = float(np.median(view.surface.lightness[view.surface.mask])) if view.surface.mask.any() else 100.0
    return ((max(lightness, 1.0) + 16.0) / 116.0) ** 3


def _is_weak(registration: Registration) -> bool:
    """Tell whether edges agree as with the mirrored T0 shot, and surfaces little: as of any part of that outline."""
    chance = registration.chance
    by_chance = chance is not None and registration.marks < chance + OWN_MARKS
    return by_chance and registration.correlation < _WEAK
