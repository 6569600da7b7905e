"""Figures per day and model: how many fail, and whether scores drift away from those of calibration."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np

from fastener.console.tables import FAIL


@dataclass(frozen=True)
class Day:
    """One day of one model file; days are those of the service's time zone. Scores are joined scores."""

    day: date
    category: str
    model_checksum: str
    inspections: int
    failed: int
    median_score: float
    low_score: float
    high_score: float

    @property
    def fail_share(self) -> float:
        """0 to 1."""
        return self.failed / self.inspections


def per_day(rows: Iterable[tuple[datetime, str, str, str, float]]) -> list[Day]:
    """From (created_at, category, model_checksum, decision, score), sorted by day and category.

    ``low_score`` and ``high_score`` are the 10 % and 90 % quantiles. Scores of different model files are never pooled:
    their scales differ.
    """
    groups: dict[tuple[date, str, str], list[tuple[str, float]]] = {}
    for created_at, category, checksum, decision, score in rows:
        groups.setdefault((created_at.astimezone().date(), category, checksum), []).append((decision, score))
    days = []
    for (day, category, checksum), found in sorted(groups.items()):
        low, median, high = np.quantile([score for _, score in found], [0.1, 0.5, 0.9]).tolist()
        failed = sum(decision == FAIL for decision, _ in found)
        days.append(Day(day, category, checksum, len(found), failed, median, low, high))
    return days
