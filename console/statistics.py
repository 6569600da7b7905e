"""Summarise inspections per day and model file: how many failed, and quantiles of the scores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np

from fastener.console.tables import FAILED, NO_PART


@dataclass(frozen=True, kw_only=True)
class Day:
    """Inspections of one day by one model file.

    Attributes
    ----------
    day : date
        Day in the service's time zone.
    category, model_checksum : str
        Name of the model, and SHA-256 of its file.
    inspections, failed, no_part : int
        Number of inspections, of those that ended in FAIL or NO_PART, and of those that ended in NO_PART.
    median_score, low_score, high_score : float
        Quantiles of the image scores: 50 %, 10 % and 90 %.
    """

    day: date
    category: str
    model_checksum: str
    inspections: int
    failed: int
    no_part: int
    median_score: float
    low_score: float
    high_score: float

    @property
    def fail_share(self) -> float:
        """Share of inspections that failed, 0 to 1."""
        return self.failed / self.inspections


def per_day(rows: Iterable[tuple[datetime, str, str, str, float]]) -> list[Day]:
    """Group rows of (created_at, category, model_checksum, decision, score); return days sorted by day and category.

    Different model files are never pooled, because their scores have different scales.
    """
    groups: dict[tuple[date, str, str], list[tuple[str, float]]] = {}
    for created_at, category, checksum, decision, score in rows:
        groups.setdefault((created_at.astimezone().date(), category, checksum), []).append((decision, score))
    days = []
    for (day, category, checksum), found in sorted(groups.items()):
        low, median, high = np.quantile([score for _, score in found], [0.1, 0.5, 0.9]).tolist()
        failed = sum(decision in FAILED for decision, _ in found)
        days.append(
            Day(
                day=day,
                category=category,
                model_checksum=checksum,
                inspections=len(found),
                failed=failed,
                no_part=sum(decision == NO_PART for decision, _ in found),
                median_score=median,
                low_score=low,
                high_score=high,
            )
        )
    return days
