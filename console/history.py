"""What was inspected, written before it is answered, and found again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Engine, Select, func, select
from sqlalchemy.orm import sessionmaker

from console.tables import InspectionRow


@dataclass(frozen=True)
class Filter:
    """Which inspections; None means any. ``since`` is included, ``until`` not; ``text`` is part of the file name."""

    since: datetime | None = None
    until: datetime | None = None
    category: str | None = None
    decision: str | None = None
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


def _newest_first(wanted: Filter) -> Select[InspectionRow]:
    order = InspectionRow.created_at.desc(), InspectionRow.id
    return select(InspectionRow).where(*wanted.conditions()).order_by(*order)
