"""What was inspected, written before it is answered, and found again; and what people said about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import ColumnElement, Engine, Select, func, select, update
from sqlalchemy.orm import sessionmaker

from fastener.console.tables import InspectionRow, ReviewRow, ThresholdRow

Reviewed = Literal["none", "any", "confirmed", "overruled"]
# Rows fetched at a time where all are wanted.
_AT_ONCE = 500


@dataclass(frozen=True)
class Filter:
    """Which inspections; None means any. ``since`` is included, ``until`` not; ``text`` is part of the file name."""

    since: datetime | None = None
    until: datetime | None = None
    category: str | None = None
    decision: str | None = None
    reviewed: Reviewed | None = None
    text: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """As SQL."""
        row = InspectionRow
        found: list[ColumnElement[bool]] = []
        if self.since is not None:
            found.append(row.created_at >= self.since)
        if self.until is not None:
            found.append(row.created_at < self.until)
        if self.category is not None:
            found.append(row.category == self.category)
        if self.decision is not None:
            found.append(row.decision == self.decision)
        if self.reviewed == "none":
            found.append(row.review_id.is_(None))
        elif self.reviewed is not None:
            found.append(row.review_id.is_not(None))
            if self.reviewed == "confirmed":
                found.append(row.review.has(ReviewRow.verdict == row.decision))
            elif self.reviewed == "overruled":
                found.append(row.review.has(ReviewRow.verdict != row.decision))
        if self.text is not None:
            found.append(row.file_name.icontains(self.text, autoescape=True))
        return found


class History:
    """The database as questions and answers. Safe to use from threads."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._session = sessionmaker(engine, expire_on_commit=False)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def add(self, row: InspectionRow) -> None:
        """Write one inspection; once this returns it is durable."""
        with self._session.begin() as session:
            session.add(row)

    def get(self, identifier: str) -> InspectionRow | None:
        """One inspection."""
        with self._session() as session:
            return session.get(InspectionRow, identifier)

    def find(self, wanted: Filter, limit: int, offset: int = 0) -> tuple[int, Sequence[InspectionRow]]:
        """How many there are, and ``limit`` of them, the newest first."""
        with self._session() as session:
            total = session.scalar(select(func.count()).select_from(InspectionRow).where(*wanted.conditions()))
            rows = session.scalars(_newest_first(wanted).limit(limit).offset(offset)).all()
        return total or 0, rows

    def all(self, wanted: Filter) -> Iterator[InspectionRow]:
        """Every one, the newest first, a few hundred in memory at a time."""
        with self._session() as session:
            yield from session.scalars(_newest_first(wanted).execution_options(yield_per=_AT_ONCE))

    def scores(self, wanted: Filter) -> list[tuple[datetime, str, str, str, float]]:
        """(created_at, category, model_checksum, decision, score) of every one, the oldest first."""
        row = InspectionRow
        columns = select(row.created_at, row.category, row.model_checksum, row.decision, row.score)
        with self._session() as session:
            found = session.execute(columns.where(*wanted.conditions()).order_by(row.created_at))
            return [(one[0], one[1], one[2], one[3], one[4]) for one in found]

    def review(self, identifier: str, verdict: str, reviewer: str, note: str) -> InspectionRow:
        """Say what the decision of an inspection, which must exist, should have been."""
        said = ReviewRow(
            inspection_id=identifier, created_at=datetime.now(UTC), verdict=verdict, reviewer=reviewer, note=note
        )
        # Written without reading first: SQLite refuses a reader that turns writer after somebody else wrote.
        with self._session.begin() as session:
            session.add(said)
            session.flush()
            session.execute(update(InspectionRow).where(InspectionRow.id == identifier).values(review_id=said.id))
        with self._session() as session:
            return session.get_one(InspectionRow, identifier)

    def reviews(self, identifier: str) -> Sequence[ReviewRow]:
        """All that was said about an inspection, the latest first."""
        said = select(ReviewRow).where(ReviewRow.inspection_id == identifier).order_by(ReviewRow.id.desc())
        with self._session() as session:
            return session.scalars(said).all()

    def change_threshold(self, row: ThresholdRow) -> None:
        """Write down a change, which is in force from then on."""
        with self._session.begin() as session:
            session.add(row)

    def threshold_changes(self, category: str) -> Sequence[ThresholdRow]:
        """The changes for a category, the latest first."""
        changes = select(ThresholdRow).where(ThresholdRow.category == category).order_by(ThresholdRow.id.desc())
        with self._session() as session:
            return session.scalars(changes).all()

    def chosen_threshold(self, category: str, model_checksum: str) -> float | None:
        """The threshold that was saved last for this very model file."""
        latest = (
            select(ThresholdRow.new)
            .where(ThresholdRow.category == category, ThresholdRow.model_checksum == model_checksum)
            .order_by(ThresholdRow.id.desc())
            .limit(1)
        )
        with self._session() as session:
            return session.scalar(latest)


def _newest_first(wanted: Filter) -> Select[InspectionRow]:
    order = InspectionRow.created_at.desc(), InspectionRow.id
    return select(InspectionRow).where(*wanted.conditions()).order_by(*order)
