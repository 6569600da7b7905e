"""Fit the rate of corrosion, and forecast when a severity will be reached, each with a 95 % interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

_PER = 24.0
# Forecasts reach at most this many times the observed time; a straight line says nothing about later times.
_HORIZON = 10.0
_STEPS = 2000


@dataclass(frozen=True)
class Trend:
    """Hold the line ``intercept + slope * hours`` through the time points, and its uncertainty.

    Parameters
    ----------
    intercept
        Percentage points at T0.
    slope
        Percentage points per hour.
    covariance
        Covariance of intercept and slope, float64 (2, 2).
    quantile
        Quantile that turns a standard deviation into a 95 % half-width.
    last
        Hours of the last time point.
    """

    intercept: float
    slope: float
    covariance: np.ndarray
    quantile: float
    last: float

    @property
    def rate(self) -> float:
        """Slope in percentage points per 24 h."""
        return _PER * self.slope

    @property
    def rate_ci95(self) -> tuple[float, float]:
        """95 % interval of the rate, in percentage points per 24 h."""
        half = _PER * self.quantile * float(np.sqrt(self.covariance[1, 1]))
        return self.rate - half, self.rate + half

    def at(self, hours: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the line, and the lower and upper end of its 95 % band, at ``hours`` (n,)."""
        design = np.stack([np.ones_like(hours), hours], axis=1)
        line = self.intercept + self.slope * hours
        half = self.quantile * np.sqrt(np.einsum("ni,ij,nj->n", design, self.covariance, design))
        return line, line - half, line + half


@dataclass(frozen=True)
class Forecast:
    """Hold when a trend reaches a level, in hours since T0.

    No forecast lies before the last time point. None: the level is not reached within ten times the observed time.

    Parameters
    ----------
    level
        The level in percentage points.
    hours
        When the line reaches it.
    earliest, latest
        When the upper and the lower end of the 95 % band reach it.
    """

    level: float
    hours: float | None
    earliest: float | None
    latest: float | None


def fit_trend(hours: np.ndarray, values: np.ndarray, deviations: np.ndarray) -> Trend | None:
    """Fit a line by weighted least squares; None for fewer than two time points.

    ``deviations`` (n,) are the standard deviations of ``values`` (n,) at ``hours`` (n,). If the points scatter more
    than these explain, the covariance is scaled up by the Birge ratio and Student's quantile with n - 2 degrees of
    freedom is used; otherwise the normal quantile is.
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
    """Find when the line, and the ends of its band, cross ``level`` percentage points from ``last`` on."""
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
