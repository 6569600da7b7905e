"""A component's series as figures: every time point with its uncertainty and verdict, and the trend."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastener.config import ColourSettings, CorrosionSettings
from fastener.corrosion.colour_growth import Sectors
from fastener.corrosion.comparison import (
    Z95,
    BaselineShot,
    MeasuredShot,
    as_measured,
    compare,
    first_shot,
    without_baseline,
)
from fastener.corrosion.severity import BASELINE, DEGRADING, STABLE, Change, Verdict, judge
from fastener.corrosion.shots import look_at
from fastener.corrosion.trend import Trend, fit_trend
from fastener.datasets.components import Series
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Failure
from fastener.preprocessing.pipeline import Preprocessor


@dataclass(frozen=True)
class TimePoint:
    """Means over the shots of one moment.

    rust, tarnish, green: percent of the part; ``rust_noise`` is the 95 % half-width of the first, ``rust_ci95`` the
    interval, which ends at 0 and 100. ``changes`` (rust, tarnish, green) and ``growth_change`` are since T0, in
    percentage points; None without T0. ``status`` likewise.
    """

    hours: float
    shots: tuple[MeasuredShot, ...]
    mean_score: float
    rust: float
    rust_noise: float
    rust_ci95: tuple[float, float]
    tarnish: float
    green: float
    growth: float | None
    changes: tuple[Change, Change, Change] | None
    growth_change: Change | None
    verdict: Verdict
    status: str | None


@dataclass(frozen=True)
class ComponentResult:
    """Everything that is reported of one component. ``rust_limit``: chroma from which a rust hue counts as rust.

    The trends are of the rise since T0: rust, the area of all colours that severity judges, and growth. Without T0 they
    are of the colours themselves. None with fewer than two time points.
    """

    component: str
    points: tuple[TimePoint, ...]
    failures: tuple[Failure, ...]
    rust_limit: float
    rust_trend: Trend | None
    area_trend: Trend | None
    growth_trend: Trend | None

    @property
    def has_baseline(self) -> bool:
        return any(point.hours == 0.0 for point in self.points)


class Analyser:
    """Compares the shots of a series with its T0. Constructed once for a model and settings, called once a series."""

    def __init__(self, inspector: Inspector, settings: CorrosionSettings, colour: ColourSettings):
        self.inspector = inspector
        self.settings = settings
        self.sectors = Sectors.of(colour, settings)
        # The model's own search for the part on a larger frame: colours and mask go through one transform.
        larger = inspector.config.preprocess.model_copy(update={"size": settings.frame, "enabled": True})
        self.preprocessor = Preprocessor(larger)

    def __call__(self, series: Series) -> ComponentResult:
        """Analyse one component. A photo that cannot be read is listed as a failure and costs only itself."""
        settings = self.settings
        sectors, firsts, failures, points = self.sectors, [], [], []
        for hours in series.hours:
            looks, failed = look_at(series.at(hours), self.preprocessor, self.inspector, settings)
            failures += failed
            if hours == 0.0:
                sectors = sectors.sharpened([look.surface for look in looks], settings)
                firsts = [first_shot(look, sectors, self.inspector, settings) for look in looks]
                shots = [as_measured(first, view) for view, first in enumerate(firsts)]
            elif firsts:
                shots = [compare(look, firsts, sectors, self.inspector.threshold, settings) for look in looks]
            else:
                shots = [without_baseline(look, sectors, settings) for look in looks]
            if shots:
                points.append(time_point(hours, shots, firsts, settings))
        return ComponentResult(
            series.component,
            tuple(points),
            tuple(failures),
            sectors.rust_chroma,
            _trend([(point.hours, _rust_change(point)) for point in points]),
            _trend([(point.hours, point.verdict.area) for point in points]),
            _trend([(point.hours, point.growth_change) for point in points if point.growth_change is not None]),
        )


def time_point(
    hours: float, shots: Sequence[MeasuredShot], firsts: Sequence[BaselineShot], settings: CorrosionSettings
) -> TimePoint:
    """Join the shots of one moment."""
    rust = float(np.mean([shot.colour.rust for shot in shots]))
    half = float(np.hypot(Z95 * np.mean([shot.colour.deviations[0] for shot in shots]), _replicates(shots, 0)))
    growths = [shot.growth for shot in shots if shot.growth is not None]
    growth = float(np.mean(growths)) if growths else None
    changes = (_mean_change(shots, 0, settings), _mean_change(shots, 1, settings), _mean_change(shots, 2, settings))
    growth_change = None
    if growth is not None:
        at_first = float(np.mean([np.mean(first.noise) for first in firsts]))
        noise = max(settings.min_growth, float(np.mean([shot.growth_noise for shot in shots])))
        growth_change = Change(growth - at_first, noise)
    verdict = judge(*changes, growth_change, settings)
    compared = bool(firsts)
    status = BASELINE if hours == 0.0 else DEGRADING if verdict.degrading else STABLE
    return TimePoint(
        hours=hours,
        shots=tuple(shots),
        mean_score=float(np.mean([shot.look.inspection.score for shot in shots])),
        rust=rust,
        rust_noise=half,
        rust_ci95=(max(0.0, rust - half), min(100.0, rust + half)),
        tarnish=float(np.mean([shot.colour.tarnish for shot in shots])),
        green=float(np.mean([shot.colour.green for shot in shots])),
        growth=growth,
        changes=changes if compared else None,
        growth_change=growth_change,
        verdict=verdict,
        status=status if compared else None,
    )


def _mean_change(shots: Sequence[MeasuredShot], kind: int, settings: CorrosionSettings) -> Change:
    """Mean change of one colour over the shots; without T0, the colour itself stands for it.

    The uncertainties of shots have common causes (borders of the sectors, light), so they are averaged, not divided
    by the root of their number; how much shots of one view differ among themselves is added in quadrature.
    """
    if any(shot.changes is None for shot in shots):
        shares = [(s.colour.rust, s.colour.tarnish, s.colour.green)[kind] for s in shots]
        rise, noise = float(np.mean(shares)), Z95 * float(np.mean([s.colour.deviations[kind] for s in shots]))
    else:
        each = [shot.changes[kind] for shot in shots if shot.changes is not None]
        rise, noise = float(np.mean([one.rise for one in each])), float(np.mean([one.noise for one in each]))
    return Change(rise, max(settings.min_change, float(np.hypot(noise, _replicates(shots, kind)))))


def _replicates(shots: Sequence[MeasuredShot], kind: int) -> float:
    """95 % half-width of the mean from how much shots of one view differ; 0 where no view was taken twice.

    Shots of different views show different surfaces: their difference is no error.
    """
    views: defaultdict[int | None, list[float]] = defaultdict(list)
    for shot in shots:
        if shot.compared:
            views[shot.view].append((shot.colour.rust, shot.colour.tarnish, shot.colour.green)[kind])
    again = [values for view, values in views.items() if view is not None and len(values) > 1]
    freedom = sum(len(values) - 1 for values in again)
    if not freedom:
        return 0.0
    variance = sum(float(np.var(values)) * len(values) for values in again) / freedom
    return Z95 * float(np.sqrt(variance / len(shots)))


def _rust_change(point: TimePoint) -> Change:
    """Rise of rust since T0; rust itself without T0."""
    return point.changes[0] if point.changes is not None else Change(point.rust, point.rust_noise)


def _trend(changes: Sequence[tuple[float, Change]]) -> Trend | None:
    """The line through (hours, change); None for fewer than two time points."""
    hours = np.array([at for at, _ in changes])
    rises = np.array([change.rise for _, change in changes])
    return fit_trend(hours, rises, np.array([change.noise for _, change in changes]) / Z95)
