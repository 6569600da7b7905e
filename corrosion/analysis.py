"""Turn a component's series into figures: each time point with its uncertainty and verdict, and the trend."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from fastener.config import ColourSettings, CorrosionSettings, PreprocessSettings
from fastener.corrosion.baselines import BaselineShot, measure_baselines
from fastener.corrosion.colour_sectors import Sectors
from fastener.corrosion.comparison import (
    Z95,
    MeasuredShot,
    baseline_as_measured,
    compare,
    measure_without_baseline,
)
from fastener.corrosion.severity import (
    BASELINE,
    DEGRADING,
    NOT_JUDGED,
    STABLE,
    Change,
    Changes,
    Verdict,
    damage_of,
    judge,
)
from fastener.corrosion.shots import in_threads, view_shots
from fastener.corrosion.trend import Trend, fit_trend
from fastener.corrosion.zones import Zone
from fastener.datasets.components import Series
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Failure
from fastener.preprocessing.pipeline import Preprocessor


@dataclass(frozen=True)
class TimePoint:
    """Hold the means over the shots of one moment.

    Parameters
    ----------
    hours
        Hours since T0.
    shots
        The shots of this moment.
    mean_score
        Mean anomaly score of the model; None without a model.
    rust, tarnish, green
        Share of the part's visible surface, in percent; rust without what was rust-coloured at T0.
    rust_noise
        Half-width of the 95 % interval of ``rust``, in percentage points.
    rust_ci95
        The 95 % interval of ``rust`` in percent, cut off at 0 and 100.
    growth
        Heatmap growth in percent; None without T0 or without a model.
    changes
        Mean changes since T0, in percentage points; None without T0.
    growth_change
        Change of the heatmap growth since T0, in percentage points; None without T0 or without a model.
    verdicts
        Verdict on each shot.
    verdict
        Verdict on the worst view: a part degrades if any side of it does. Its damage type names that of all views.
    status
        ``BASELINE``, ``STABLE``, ``DEGRADING``, or ``NOT_JUDGED`` if no shot shows a view of T0; None without T0.
    white, dark
        Share of the part's visible surface in percent that is white corrosion, and that is dark staining or lost
        coating; None where it was not measured.
    white_ci95, dark_ci95
        Their 95 % intervals in percent, cut off at 0 and 100; None where the share is.
    worst_view
        Index into ``shots`` of the view with the most damage; None without T0.
    """

    hours: float
    shots: tuple[MeasuredShot, ...]
    mean_score: float | None
    rust: float
    rust_noise: float
    rust_ci95: tuple[float, float]
    tarnish: float
    green: float
    growth: float | None
    changes: Changes | None
    growth_change: Change | None
    verdicts: tuple[Verdict, ...]
    verdict: Verdict
    status: str | None
    white: float | None = None
    white_ci95: tuple[float, float] | None = None
    dark: float | None = None
    dark_ci95: tuple[float, float] | None = None
    worst_view: int | None = None


@dataclass(frozen=True)
class ComponentResult:
    """Hold everything that is reported about one component.

    Parameters
    ----------
    component
        Name of the component.
    points
        Its time points, ascending by hours.
    failures
        Photos that could not be read.
    rust_limit
        CIELab chroma from which a pixel of a rust hue counts as rust.
    rust_trend, area_trend, growth_trend
        Trend of the change since T0 in rust, in the area of all colours that severity counts, and in heatmap growth.
        Without T0, the trends follow the shares themselves. None with fewer than two time points.
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
        """Whether the component was photographed at T0."""
        return any(point.hours == 0.0 for point in self.points)

    @property
    def status(self) -> str | None:
        """``DEGRADING`` if any time point is, as corrosion does not heal; else the last one's; None without T0."""
        if not self.has_baseline:
            return None
        found = [point.status for point in self.points]
        return DEGRADING if DEGRADING in found else found[-1]


class Analyser:
    """Compare the shots of a series with its T0.

    Construct it once for a model and its settings, then call it once for each series.

    Parameters
    ----------
    inspector
        A trained model, for heatmaps and scores, which no verdict depends on; None for none. Its settings also say how
        the part is found.
    settings
        Section ``corrosion`` of the settings.
    colour
        Section ``colour`` of the settings: hues and lightness of rust.
    preprocess
        Section ``preprocess``: how the part is found without a model; None for the defaults.
    zone
        What marks the significant surface on a T0 photo; None for the whole part.
    """

    def __init__(
        self,
        inspector: Inspector | None,
        settings: CorrosionSettings,
        colour: ColourSettings,
        preprocess: PreprocessSettings | None = None,
        zone: Zone | None = None,
    ):
        self.inspector = inspector
        self.settings = settings
        self.zone = zone
        self.sectors = Sectors.of(colour, settings)
        # The part is found by the model's own settings. The frame is larger, as colours are measured on single pixels.
        found_by = inspector.config.preprocess if inspector is not None else preprocess or PreprocessSettings()
        larger = found_by.model_copy(update={"size": settings.frame, "enabled": True})
        self.preprocessor = Preprocessor(larger)

    def __call__(self, series: Series, on_shot: Callable[[], object] | None = None) -> ComponentResult:
        """Analyse one component. A photo that cannot be read is listed as a failure and costs only itself.

        ``on_shot`` is called after each photo.
        """
        settings, inspector = self.settings, self.inspector
        threshold = None if inspector is None else inspector.threshold
        sectors = self.sectors
        baselines: list[BaselineShot] = []
        failures: list[Failure] = []
        points: list[TimePoint] = []
        for hours in series.hours:
            views, failed = view_shots(series.at(hours), self.preprocessor, inspector, settings=settings)
            failures += failed
            if hours == 0.0:
                sectors = sectors.sharpened([view.surface for view in views], settings)
                baselines = measure_baselines(views, sectors, inspector, settings=settings, zone=self.zone)
                shots = [baseline_as_measured(baseline, index) for index, baseline in enumerate(baselines)]
            elif baselines:
                against_t0 = partial(
                    compare, baselines=baselines, sectors=sectors, threshold=threshold, settings=settings
                )
                shots = in_threads(against_t0, views)
            else:
                shots = [measure_without_baseline(view, sectors, settings) for view in views]
            if on_shot is not None:
                for _ in series.at(hours):
                    on_shot()
            if shots:
                points.append(time_point(hours, shots, baselines, settings=settings))
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
    hours: float, shots: Sequence[MeasuredShot], baselines: Sequence[BaselineShot], *, settings: CorrosionSettings
) -> TimePoint:
    """Sum up the shots of one moment. ``baselines`` are the T0 shots; without any, nothing is known about change.

    The figures are means over the views. The verdict is that of the worst view.
    """
    half = float(np.hypot(Z95 * np.mean([shot.colour.deviations[0] for shot in shots]), _replicates(shots, 0)))
    rust, rust_ci95 = _share([shot.colour.rust for shot in shots], half)
    growths = [shot.growth for shot in shots if shot.growth is not None]
    growth = float(np.mean(growths)) if growths else None
    changes = _mean_changes(shots, settings)
    growth_change = None
    if growth is not None:
        at_baseline = float(np.mean([np.mean(baseline.noise) for baseline in baselines]))
        noise = max(settings.min_growth, float(np.mean([shot.growth_noise for shot in shots])))
        growth_change = Change(growth - at_baseline, noise)
    verdicts = tuple(judge(_view_changes(shot).at_least(settings.min_change), settings) for shot in shots)
    worst = max(range(len(shots)), key=lambda index: (verdicts[index].degrading, verdicts[index].area.rise, -index))
    compared = bool(baselines)
    judged = any(shot.baseline_index is not None for shot in shots)
    seen = DEGRADING if verdicts[worst].degrading else STABLE if judged else NOT_JUDGED
    status = BASELINE if hours == 0.0 else seen
    scores = [shot.view.inspection.score for shot in shots if shot.view.inspection is not None]
    white, white_ci95 = _mean_share([changes.white] if compared and changes.white is not None else [])
    dark, dark_ci95 = _mean_share([changes.dark] if compared and changes.dark is not None else [])
    return TimePoint(
        hours=hours,
        shots=tuple(shots),
        mean_score=float(np.mean(scores)) if scores else None,
        rust=rust,
        rust_noise=half,
        rust_ci95=rust_ci95,
        tarnish=float(np.mean([shot.colour.tarnish for shot in shots])),
        green=float(np.mean([shot.colour.green for shot in shots])),
        growth=growth,
        changes=changes if compared else None,
        growth_change=growth_change,
        verdicts=verdicts,
        verdict=replace(verdicts[worst], damage_type=damage_of([verdicts[worst], *verdicts])),
        status=status if compared else None,
        white=white,
        white_ci95=white_ci95,
        dark=dark,
        dark_ci95=dark_ci95,
        worst_view=worst if compared else None,
    )


def _share(shares: Sequence[float], half: float) -> tuple[float, tuple[float, float]]:
    """Return the mean of shares in percent, and its interval, cut off at 0 and 100."""
    mean = float(np.mean(shares))
    return mean, (max(0.0, mean - half), min(100.0, mean + half))


def _mean_share(changes: Sequence[Change]) -> tuple[float | None, tuple[float, float] | None]:
    return _share([changes[0].rise], changes[0].noise) if changes else (None, None)


def _view_changes(shot: MeasuredShot) -> Changes:
    """Return the changes of one shot; without T0, its shares."""
    if shot.changes is not None:
        return shot.changes
    colour = shot.colour
    shares = (colour.rust, colour.tarnish, colour.green)
    return Changes(*(Change(share, Z95 * error) for share, error in zip(shares, colour.deviations, strict=True)))


def _mean_changes(shots: Sequence[MeasuredShot], settings: CorrosionSettings) -> Changes:
    """Average the changes over the shots; without T0, the shares themselves.

    The uncertainties of several shots have common causes (borders of the sectors, light). So they are averaged and not
    divided by the root of the number of shots. The differences between shots of one view are added in quadrature.
    """
    each = [_view_changes(shot) for shot in shots]

    def colour(found: Sequence[Change], kind: int) -> Change:
        noise = float(np.hypot(np.mean([one.noise for one in found]), _replicates(shots, kind)))
        return Change(float(np.mean([one.rise for one in found])), max(settings.min_change, noise))

    def mean(found: Sequence[Change | None]) -> Change | None:
        known = [one for one in found if one is not None]
        if not known:
            return None
        return Change(*(float(np.mean(one)) for one in ([c.rise for c in known], [c.noise for c in known])))

    return Changes(
        colour([one.rust for one in each], 0),
        colour([one.tarnish for one in each], 1),
        colour([one.green for one in each], 2),
        mean([one.white for one in each]),
        mean([one.dark for one in each]),
    )


def _replicates(shots: Sequence[MeasuredShot], kind: int) -> float:
    """Estimate the 95 % half-width of the mean from differences between shots of one view; 0 if none was taken twice.

    Shots of different views show different surfaces, so a difference between them is no error.
    """
    views: defaultdict[int | None, list[float]] = defaultdict(list)
    for shot in shots:
        if shot.compared:
            views[shot.baseline_index].append((shot.colour.rust, shot.colour.tarnish, shot.colour.green)[kind])
    again = [values for view, values in views.items() if view is not None and len(values) > 1]
    freedom = sum(len(values) - 1 for values in again)
    if not freedom:
        return 0.0
    variance = sum(float(np.var(values)) * len(values) for values in again) / freedom
    return Z95 * float(np.sqrt(variance / len(shots)))


def _rust_change(point: TimePoint) -> Change:
    """Return the change of rust since T0; without T0, the share of rust itself."""
    return point.changes.rust if point.changes is not None else Change(point.rust, point.rust_noise)


def _trend(changes: Sequence[tuple[float, Change]]) -> Trend | None:
    """Fit a line through (hours, change); None for fewer than two time points."""
    hours = np.array([at for at, _ in changes])
    rises = np.array([change.rise for _, change in changes])
    return fit_trend(hours, rises, np.array([change.noise for _, change in changes]) / Z95)
