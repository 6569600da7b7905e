"""Turn figures into words: severity, type of damage, and whether anything has changed at all."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

from fastener.config import CorrosionSettings

LEVELS = ("None", "Trace", "Mild", "Moderate", "Severe", "Critical")
BASELINE, STABLE, DEGRADING = "BASELINE", "STABLE", "DEGRADING"


@dataclass(frozen=True)
class Change:
    """Hold a change since T0 and its noise.

    Parameters
    ----------
    rise
        Change in percentage points.
    noise
        Smallest rise that is real with 95 % confidence, in percentage points.
    """

    rise: float
    noise: float

    @property
    def is_real(self) -> bool:
        """Whether the rise exceeds its noise."""
        return self.rise > self.noise


@dataclass(frozen=True)
class Verdict:
    """Hold the verdict on one time point.

    Parameters
    ----------
    severity
        One of ``LEVELS``.
    damage_type
        The colours that drove the severity, or "surface change"; "none" without damage.
    is_rusting
        Whether rust has risen beyond its noise.
    degrading
        Whether any colour or the heatmap growth has risen beyond its noise.
    area
        Weighted area of the colours by which severity is judged, in percentage points; its noise covers all colours.
    """

    severity: str
    damage_type: str
    is_rusting: bool
    degrading: bool
    area: Change


def level_of(value: float, cutoffs: tuple[float, ...]) -> int:
    """Return an index into LEVELS: the number of ascending ``cutoffs`` that ``value`` reaches."""
    return bisect_right(cutoffs, value)


def judge(
    rust: Change, tarnish: Change, green: Change, *, growth: Change | None, settings: CorrosionSettings
) -> Verdict:
    """Judge the severity of a change: the worse one of colour and growth. A change within its noise does not count.

    Colour is the added area of rust and of green oxidation, plus the added area of tarnish times ``tarnish_weight``.
    """
    weights = {"rust": (rust, 1.0), "green oxidation": (green, 1.0), "tarnish": (tarnish, settings.tarnish_weight)}
    areas = {name: weight * change.rise for name, (change, weight) in weights.items() if change.is_real}
    noise = math.hypot(*(weight * change.noise for change, weight in weights.values()))
    area = Change(math.fsum(areas.values()), noise)
    by_colour = level_of(area.rise, settings.colour_cutoffs)
    by_growth = level_of(growth.rise, settings.growth_cutoffs) if growth is not None and growth.is_real else 0
    level = max(by_colour, by_growth)
    # The colours that increased are named, the largest first. A change without colour is called a surface change.
    names = sorted(areas, key=lambda name: -areas[name])
    if by_growth > by_colour or not names:
        names.append("surface change")
    return Verdict(
        severity=LEVELS[level],
        damage_type=" and ".join(names[:2]) if level else "none",
        is_rusting=rust.is_real,
        degrading=bool(areas) or (growth is not None and growth.is_real),
        area=area,
    )
