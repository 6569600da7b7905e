"""Put the standards' words into the records of a report: ratings of each time point, and the first corrosion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastener.corrosion.first_signs import KINDS, FirstSign, first_sign, judge_all
from fastener.corrosion.standards import rating, rust_degree, rust_grade

# Keys of a time point: the share in percent, and its 95 % interval.
SHARES = {
    "white": ("white_corrosion_pct", "white_corrosion_ci95"),
    "red": ("colour_rust_pct", "colour_rust_ci95"),
    "dark": ("dark_pct", "dark_ci95"),
}
_SPECK = 0.001
# What a report of corrosion is asked for and photos do not show.
NOT_MEASURED = {"astm_d714": "blistering (size and frequency): a photo from above does not tell a blister from a stain"}


def rated(record: Mapping[str, Any], required: Mapping[str, float] | None = None) -> dict[str, Any]:
    """Return a component's record with its ratings, its hours of first corrosion, and whether it meets ``required``.

    ``required`` maps "white" and "red" to the hours that no such corrosion may be seen. Each time point gains ``rp``,
    ``ra``, ``ri`` and ``astm_d610``, and their ranges over the 95 % interval of the area (``rp_range`` and so on), all
    None without T0 or where the area was not measured.
    """
    result = dict(record)
    points = record["timepoints"]
    new = points.get("0") if record["has_baseline"] else None
    result["timepoints"] = {hours: {**point, **_ratings(point, new)} for hours, point in points.items()}
    signs = {kind: first_signs(record, kind) for kind in KINDS}
    for kind, sign in signs.items():
        result[f"first_{kind}_corrosion_h"] = None if sign.interval is None else list(sign.interval)
    result["clear_until_h"] = {kind: sign.clear_until for kind, sign in signs.items()}
    result["requirements"] = outcomes(signs, required or {})
    return result


def first_signs(record: Mapping[str, Any], kind: str) -> FirstSign:
    """Find when white or red corrosion was first seen on a component; without T0 nothing can be said."""
    new = record["timepoints"].get("0") if record["has_baseline"] else None
    inspections = ((float(at), _seen(point, new, kind)) for at, point in record["timepoints"].items())
    return first_sign(inspections)


def outcomes(signs: Mapping[str, FirstSign], required: Mapping[str, float]) -> dict[str, Any] | None:
    """Judge first signs by the required hours: each kind, and all; None if nothing is required."""
    if not required:
        return None
    found = {kind: signs[kind].meets(hours) for kind, hours in required.items()}
    return {**{kind: {"hours": required[kind], "outcome": one} for kind, one in found.items()}, "all": judge_all(found)}


def defective_area(
    point: Mapping[str, Any], new: Mapping[str, Any] | None, kind: str
) -> tuple[float, float, float] | None:
    """Return the area that the exposure has damaged, in percent, and the ends of its 95 % interval.

    It is the rise of a share above that at T0, ``new``; 0 where no such corrosion was seen, because the rise is within
    its uncertainty. None without T0, where the share was not measured, or where no shot could tell.
    """
    share, interval = SHARES[kind]
    if new is None or point.get(share) is None or new.get(share) is None or point.get(interval) is None:
        return None
    if point is new:
        return 0.0, 0.0, 0.0
    if kind in KINDS and point[f"{kind}_seen"] is None:
        return None
    rise = point[share] - new[share]
    low, high = (point[interval][0] - new[share], point[interval][1] - new[share])
    seen = bool(point[f"{kind}_seen"]) if kind in KINDS else low > 0.0
    # Corrosion on one of several views may leave their mean as it was; it is rated as a speck then.
    return (max(_SPECK, rise) if seen else 0.0), max(0.0, low), max(0.0, high)


def _seen(point: Mapping[str, Any], new: Mapping[str, Any] | None, kind: str) -> bool | None:
    if new is None:
        return None
    if point is new:
        return False
    seen: bool | None = point[f"{kind}_seen"]
    return seen


def _ratings(point: Mapping[str, Any], new: Mapping[str, Any] | None) -> dict[str, Any]:
    red = defective_area(point, new, "red")
    known = [area for area in (defective_area(point, new, kind) for kind in SHARES) if area is not None]
    every = tuple(min(100.0, sum(ends)) for ends in zip(*known, strict=True)) if len(known) == len(SHARES) else None
    functions: dict[str, tuple[Callable[[float], int], tuple[float, ...] | None]] = {
        "rp": (rating, red),
        "ra": (rating, every),
        "ri": (rust_degree, red),
        "astm_d610": (rust_grade, red),
    }
    found: dict[str, Any] = {}
    for name, (function, area) in functions.items():
        best, *ends = (function(min(100.0, one)) for one in area) if area else (None,)
        found[name] = best
        found[f"{name}_range"] = sorted(ends) if area else None
    return found
