"""From figures to words: severity, what drove it, and whether it is a change at all."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

from fastener.config import CorrosionSettings

LEVELS = ("None", "Trace", "Mild", "Moderate", "Severe", "Critical")
BASELINE, STABLE, DEGRADING = "BASELINE", "STABLE", "DEGRADING"


@dataclass(frozen=True)
class Change:
    """A rise since T0 in percentage points, and the least rise that is no noise (95 %)."""

    rise: float
    noise: float

    @property
    def is_real(self) -> bool:
        return self.rise > self.noise


@dataclass(frozen=True)
class Verdict:
    """``damage_type`` names what drove the severity; "none" where nothing did.

    ``area``: what ``severity`` judges of the colours, in percentage points; its noise is that of all three.
    """

    severity: str
    damage_type: str
    is_rusting: bool
    degrading: bool
    area: Change


def level_of(value: float, cutoffs: tuple[float, ...]) -> int:
    """Index into LEVELS: how many of the ascending ``cutoffs`` are reached."""
    return bisect_right(cutoffs, value)


def judge(rust: Change, tarnish: Change, green: Change, growth: Change | None, settings: CorrosionSettings) -> Verdict:
    """Severity is the worse of colour and growth; a change within its noise counts as none.

    Colour is the area of rust and green oxidation that came, and that of tarnish at ``tarnish_weight``.
    """
    weights = {"rust": (rust, 1.0), "green oxidation": (green, 1.0), "tarnish": (tarnish, settings.tarnish_weight)}
    areas = {name: weight * change.rise for name, (change, weight) in weights.items() if change.is_real}
    noise = math.hypot(*(weight * change.noise for change, weight in weights.values()))
    area = Change(math.fsum(areas.values()), noise)
    by_colour = level_of(area.rise, settings.colour_cutoffs)
    by_growth = level_of(growth.rise, settings.growth_cutoffs) if growth is not None and growth.is_real else 0
    level = max(by_colour, by_growth)
    # What is named are the colours that came, the largest first; a surface that changed without colour is just that.
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
