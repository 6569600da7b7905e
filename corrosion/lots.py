"""Sum up the replicates of a lot: mean, standard deviation and worst specimen, and the lot's first corrosion."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from fastener.corrosion.first_signs import KINDS, earliest
from fastener.corrosion.ratings import SHARES, first_signs, outcomes

_DIGITS = 3


def lot_records(
    records: Sequence[Mapping[str, Any]], required: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """Build ``lots`` of report.json from rated components, by their ``lot``, sorted by name.

    Components without a lot, and those that are alone in theirs, are left out: they are reported themselves.
    """
    members: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in records:
        if record["lot"]:
            members[record["lot"]].append(record)
    return [_lot(name, each, required or {}) for name, each in sorted(members.items()) if len(each) > 1]


def _lot(name: str, members: Sequence[Mapping[str, Any]], required: Mapping[str, float]) -> dict[str, Any]:
    signs = {kind: earliest(first_signs(one, kind) for one in members) for kind in KINDS}
    hours = sorted({float(at) for one in members for at in one["timepoints"]})
    lot: dict[str, Any] = {"lot": name, "specimens": [one["component"] for one in members]}
    for kind, sign in signs.items():
        lot[f"first_{kind}_corrosion_h"] = None if sign.interval is None else list(sign.interval)
    lot["clear_until_h"] = {kind: sign.clear_until for kind, sign in signs.items()}
    lot["requirements"] = outcomes(signs, required)
    lot["timepoints"] = {
        f"{at:g}": _moment([one["timepoints"][f"{at:g}"] for one in members if f"{at:g}" in one["timepoints"]])
        for at in hours
    }
    return lot


def _moment(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sum up the specimens of one moment. A standard deviation needs two; figures that none has are None."""
    found: dict[str, Any] = {"n": len(points)}
    for share, _ in SHARES.values():
        values = [point[share] for point in points if point.get(share) is not None]
        found[share] = _spread(values, worst=max)
    for name in ("rp", "ra"):
        values = [point[name] for point in points if point[name] is not None]
        found[name] = _spread(values, worst=min)
    found["degrading"] = sum(point["status"] == "DEGRADING" for point in points)
    return found


def _spread(values: Sequence[float], worst: Any) -> dict[str, float | None] | None:
    if not values:
        return None
    deviation = round(statistics.stdev(values), _DIGITS) if len(values) > 1 else None
    return {"mean": round(statistics.fmean(values), _DIGITS), "sd": deviation, "worst": worst(values)}
