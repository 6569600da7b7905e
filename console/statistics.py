"""Summarise inspections per day and model file: how many failed, and quantiles of the scores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from fastener.console.tables import FAIL, NO_PART

_ZONES_MINUTES = 15  # time zones differ by multiples of this
_FARTHEST_WEST = 9 * 60 + 30  # minutes behind UTC; later midnights are those of places ahead of it


@dataclass(frozen=True, kw_only=True)
class Day:
    """Inspections of one day by one model file.

    Attributes
    ----------
    day : date
        Day in the time zone of the request.
    category, model_checksum : str
        Name of the model, and SHA-256 of its file.
    inspections, failed, no_part : int
        Number of inspections, of those that failed, and of those that ended in NO_PART.
    counted : int
        Number of inspections that the share of failed ones refers to.
    median_score, low_score, high_score : float
        Quantiles of the image scores: 50 %, 10 % and 90 %.
    """

    day: date
    category: str
    model_checksum: str
    inspections: int
    failed: int
    no_part: int
    counted: int
    median_score: float
    low_score: float
    high_score: float

    @property
    def fail_share(self) -> float:
        """Share of inspections that failed, 0 to 1; 0 where none counts."""
        return self.failed / self.counted if self.counted else 0.0


def zone_of(name: str | None, since: datetime | None) -> tzinfo | None:
    """Find the time zone in which days are counted: by its name, or else that in which ``since`` is midnight.

    None stands for the zone of this machine. Raises ValueError for a name that is not known.
    """
    if name is not None:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"time_zone: {name!r} is not known; write it like Asia/Tokyo or UTC") from None
    if since is None:
        return None
    minutes = since.astimezone(UTC).hour * 60 + since.astimezone(UTC).minute
    if minutes % _ZONES_MINUTES or since.second or since.microsecond:
        return None
    ahead = -minutes if minutes <= _FARTHEST_WEST else 24 * 60 - minutes
    return timezone(timedelta(minutes=ahead))


def per_day(
    rows: Iterable[tuple[datetime, str, str, str, float]], zone: tzinfo | None = None, *, no_part_fails: bool = True
) -> list[Day]:
    """Group rows of (created_at, category, model_checksum, decision, score); return days sorted by day and category.

    Days are those of the time ``zone``; None: of this machine's. A photo without a part counts as failed, or, without
    ``no_part_fails``, is left out of the share.

    Different model files are never pooled, because their scores have different scales.
    """
    groups: dict[tuple[date, str, str], list[tuple[str, float]]] = {}
    for created_at, category, checksum, decision, score in rows:
        groups.setdefault((created_at.astimezone(zone).date(), category, checksum), []).append((decision, score))
    days = []
    for (day, category, checksum), found in sorted(groups.items()):
        low, median, high = np.quantile([score for _, score in found], [0.1, 0.5, 0.9]).tolist()
        no_part = sum(decision == NO_PART for decision, _ in found)
        failed = sum(decision == FAIL for decision, _ in found) + no_part * no_part_fails
        days.append(
            Day(
                day=day,
                category=category,
                model_checksum=checksum,
                inspections=len(found),
                failed=failed,
                no_part=no_part,
                counted=len(found) - (0 if no_part_fails else no_part),
                median_score=median,
                low_score=low,
                high_score=high,
            )
        )
    return days
