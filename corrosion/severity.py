"""Turn figures into words: severity, type of damage, and whether anything has changed at all."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from fastener.config import CorrosionSettings

LEVELS = ("None", "Trace", "Mild", "Moderate", "Severe", "Critical")
BASELINE, STABLE, DEGRADING, NOT_JUDGED = "BASELINE", "STABLE", "DEGRADING", "NOT JUDGED"
RUST_NAME, GREEN_NAME, TARNISH_NAME = "rust", "green oxidation", "tarnish"
WHITE_NAME, DARK_NAME = "white corrosion", "dark staining or lost coating"


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
class Changes:
    """Hold the changes of one view since T0, in percentage points of its visible part.

    Parameters
    ----------
    rust, tarnish, green
        Colours of corrosion.
    white, dark
        White deposit, and dark staining or lost coating; None where they could not be compared place by place.
    """

    rust: Change
    tarnish: Change
    green: Change
    white: Change | None = None
    dark: Change | None = None

    def at_least(self, noise: float) -> Changes:
        """Return the same changes with no noise below ``noise``."""
        parts = (self.rust, self.tarnish, self.green, self.white, self.dark)
        return Changes(*(None if one is None else Change(one.rise, max(one.noise, noise)) for one in parts))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Verdict:
    """Hold the verdict on one time point.

    Parameters
    ----------
    severity
        One of ``LEVELS``.
    damage_type
        The kinds of damage that drove the severity, the largest first; "none" without damage.
    is_rusting
        Whether rust has risen beyond its noise.
    degrading
        Whether the severity is at least Mild even at the lower end of its interval.
    area
        Weighted area by which severity is judged, in percentage points; its noise covers all kinds.
    """

    severity: str
    damage_type: str
    is_rusting: bool
    degrading: bool
    area: Change


def level_of(value: float, cutoffs: tuple[float, ...]) -> int:
    """Return an index into LEVELS: the number of ascending ``cutoffs`` that ``value`` reaches."""
    return bisect_right(cutoffs, value)


def damage_of(verdicts: Sequence[Verdict]) -> str:
    """Join the kinds of damage of several views, each once, in the order of ``verdicts``; "none" without any."""
    kinds = [kind for one in verdicts if one.damage_type != "none" for kind in one.damage_type.split(" and ")]
    return " and ".join(dict.fromkeys(kinds)) or "none"


def judge(changes: Changes, settings: CorrosionSettings) -> Verdict:
    """Judge the severity of a change since T0. A change within its noise does not count.

    The areas of rust and of green oxidation are added to the weighted areas of white deposit, of dark patches and of
    tarnish. The model's heatmap has no say, because its scale depends on which other photos the model knows.
    """
    coating, tarnish = settings.coating_weight, settings.tarnish_weight
    weights = {
        RUST_NAME: (changes.rust, 1.0),
        GREEN_NAME: (changes.green, 1.0),
        WHITE_NAME: (changes.white, coating),
        DARK_NAME: (changes.dark, coating),
        TARNISH_NAME: (changes.tarnish, tarnish),
    }
    seen = {name: (change, weight) for name, (change, weight) in weights.items() if change is not None}
    areas = {name: weight * change.rise for name, (change, weight) in seen.items() if change.is_real}
    noise = math.hypot(*(weight * change.noise for change, weight in seen.values()))
    area = Change(math.fsum(areas.values()), noise)
    # What is beyond its noise is at least a trace, however small its weight.
    doubt = math.hypot(*(seen[name][1] * seen[name][0].noise for name in areas))
    level = max(level_of(area.rise, settings.colour_cutoffs), int(bool(areas)))
    names = sorted(areas, key=lambda name: -areas[name])
    return Verdict(
        severity=LEVELS[level],
        damage_type=" and ".join(names[:2]) if level else "none",
        is_rusting=changes.rust.is_real,
        degrading=level_of(area.rise - doubt, settings.colour_cutoffs) >= LEVELS.index("Mild"),
        area=area,
    )
