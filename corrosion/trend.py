"""A rate of corrosion with its interval, and when a severity will be reached, with the honest width of that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

_PER = 24.0
# Forecasts end this many times the time observed: a straight line says nothing of later.
_HORIZON = 10.0
_STEPS = 2000


@dataclass(frozen=True)
class Trend:
    """The line ``intercept + slope * hours`` through (hours, points), and the covariance of (intercept, slope).

    ``quantile`` is Student's for 95 %, by the degrees of freedom behind the covariance.
    """

    intercept: float
    slope: float
    covariance: np.ndarray
    quantile: float
    last: float

    @property
    def rate(self) -> float:
        """Percentage points per 24 h."""
        return _PER * self.slope

    @property
    def rate_ci95(self) -> tuple[float, float]:
        """95 % interval of the rate."""
        half = _PER * self.quantile * float(np.sqrt(self.covariance[1, 1]))
        return self.rate - half, self.rate + half

    def at(self, hours: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The line and the lower and upper end of its 95 % band at ``hours`` (n,)."""
        design = np.stack([np.ones_like(hours), hours], axis=1)
        line = self.intercept + self.slope * hours
        half = self.quantile * np.sqrt(np.einsum("ni,ij,nj->n", design, self.covariance, design))
        return line, line - half, line + half


@dataclass(frozen=True)
class Forecast:
    """Hours since T0 until ``level`` (points) is reached by the line, at the earliest and the latest (95 %).

    Not before the last time observed, at which it was not reached. None: not within ten times the time observed.
    """

    level: float
    hours: float | None
    earliest: float | None
    latest: float | None


def fit_trend(hours: np.ndarray, values: np.ndarray, deviations: np.ndarray) -> Trend | None:
    """Weighted least squares; None for fewer than two time points.

    hours, values, deviations (n,): ``deviations`` are the standard deviations of ``values``. The covariance is that of
    the deviations, scaled up where the points scatter more than these explain (Birge ratio); where it is, Student's
    quantile with n - 2 degrees of freedom holds, else the normal one.
    """
    if len(np.unique(hours)) < 2:
        return None
    weights = 1.0 / np.maximum(deviations, 0.05) ** 2
    design = np.stack([np.ones(len(hours)), hours], axis=1)
    covariance = np.linalg.inv(design.T @ (weights[:, None] * design))
    intercept, slope = covariance @ (design.T @ (weights * values))
    freedom = len(hours) - 2
    birge = float((weights * (values - design @ [intercept, slope]) ** 2).sum() / freedom) if freedom else 0.0
    if birge > 1.0:
        return Trend(
            float(intercept), float(slope), covariance * birge, float(student.ppf(0.975, freedom)), float(hours.max())
        )
    return Trend(float(intercept), float(slope), covariance, 1.96, float(hours.max()))


def forecast(trend: Trend, level: float) -> Forecast:
    """When the trend reaches ``level`` points: where its line, and the ends of its band, cross it from ``last`` on."""
    grid = np.linspace(trend.last, _HORIZON * trend.last, _STEPS)
    line, lower, upper = trend.at(grid)
    return Forecast(level, *(_crossing(grid, values, level) for values in (line, upper, lower)))


def _crossing(hours: np.ndarray, values: np.ndarray, level: float) -> float | None:
    above = np.flatnonzero(values >= level)
    if not len(above):
        return None
    first = int(above[0])
    if first == 0:
        return float(hours[0])
    share = (level - values[first - 1]) / (values[first] - values[first - 1])
    return float(hours[first - 1] + share * (hours[first] - hours[first - 1]))
