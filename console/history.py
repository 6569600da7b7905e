"""Store and query inspections, reviews and changes of thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Engine, Select, String, case, false, func, or_, select, text, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute, sessionmaker
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from fastener.common.errors import UserError
from fastener.console.database import folded
from fastener.console.tables import LOOK, PASS, InspectionRow, ReviewRow, ThresholdRow


class ThresholdChanged(UserError):
    """Raised when a threshold was to replace one that is no longer in force."""


Reviewed = Literal["none", "any", "confirmed", "overruled"]
# Rows fetched at a time by queries that return every row.
_FETCH_SIZE = 500


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Conditions that inspections must meet; None sets no condition.

    Attributes
    ----------
    since : datetime or None
        Earliest time, included.
    until : datetime or None
        Latest time, excluded.
    category : str or None
        Name of the model.
    decision : str or None
        "PASS", "LOOK", "FAIL" or "NO_PART".
    reviewed : str or None
        "none": not reviewed; "any": reviewed; "confirmed" or "overruled": by the latest review.
    text : str or None
        Part of the file name, whatever its case and accents.
    """

    since: datetime | None = None
    until: datetime | None = None
    category: str | None = None
    decision: str | None = None
    reviewed: Reviewed | None = None
    text: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Build the SQL conditions."""
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
            passed = case((row.decision == LOOK, PASS), else_=row.decision)  # a part to look at is one that passed
            if self.reviewed == "confirmed":
                found.append(row.review.has(ReviewRow.verdict == passed))
            elif self.reviewed == "overruled":
                found.append(row.review.has(ReviewRow.verdict != passed))
        if self.text is not None:
            found.append(_holds(row.file_name, self.text))
        return found


class _Folded(FunctionElement[str]):
    """A column without case and accents where the database can do that (SQLite), else without case."""

    type = String()
    inherit_cache = True


@compiles(_Folded)
def _lower(element: _Folded, compiler: SQLCompiler, **options: Any) -> str:
    return f"lower({compiler.process(element.clauses, **options)})"


@compiles(_Folded, "sqlite")
def _fold(element: _Folded, compiler: SQLCompiler, **options: Any) -> str:
    return f"folded({compiler.process(element.clauses, **options)})"


def _holds(column: InstrumentedAttribute[str], part: str) -> ColumnElement[bool]:
    return or_(_Folded(column).contains(folded(part), autoescape=True), column.icontains(part, autoescape=True))


class History:
    """Queries on the database. All methods may be called from any thread.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Database of the present schema, see ``open_database``; ``close`` disposes of it.
    """

    def __init__(self, engine: Engine):
        self._engine = engine
        self._session = sessionmaker(engine, expire_on_commit=False)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def check_writable(self) -> None:
        """Raise SQLAlchemyError if nothing can be stored now."""
        with self._session() as session:
            # Changes no row, and takes the lock that a write needs.
            session.execute(update(InspectionRow).where(false()).values(seconds=0.0))
            session.rollback()

    def add(self, row: InspectionRow) -> None:
        """Store one inspection. It is on disk when this returns."""
        with self._session.begin() as session:
            session.add(row)

    def get(self, identifier: str) -> InspectionRow | None:
        """Return one inspection, or None if the identifier is unknown."""
        with self._session() as session:
            return session.get(InspectionRow, identifier)

    def find(self, wanted: Filter, limit: int, offset: int = 0) -> tuple[int, Sequence[InspectionRow]]:
        """Return the number of matching inspections, and up to ``limit`` of them, the newest first."""
        with self._session() as session:
            total = session.scalar(select(func.count()).select_from(InspectionRow).where(*wanted.conditions()))
            rows = session.scalars(_newest_first(wanted).limit(limit).offset(offset)).all()
        return total or 0, rows

    def all(self, wanted: Filter) -> Iterator[InspectionRow]:
        """Yield all matching inspections, the newest first; a few hundred are in memory at a time."""
        with self._session() as session:
            yield from session.scalars(_newest_first(wanted).execution_options(yield_per=_FETCH_SIZE))

    def scores(self, wanted: Filter) -> list[tuple[datetime, str, str, str, float]]:
        """Return (created_at, category, model_checksum, decision, score) of all matching inspections, oldest first."""
        row = InspectionRow
        columns = select(row.created_at, row.category, row.model_checksum, row.decision, row.score)
        with self._session() as session:
            found = session.execute(columns.where(*wanted.conditions()).order_by(row.created_at))
            return [(one[0], one[1], one[2], one[3], one[4]) for one in found]

    def review(self, identifier: str, verdict: str, *, reviewer: str, note: str) -> InspectionRow:
        """Add a review of an existing inspection. ``verdict`` is the right decision, not LOOK."""
        review = ReviewRow(
            inspection_id=identifier, created_at=datetime.now(UTC), verdict=verdict, reviewer=reviewer, note=note
        )
        # This transaction writes first: SQLite fails a transaction that reads, and writes after another has written.
        with self._session.begin() as session:
            session.add(review)
            session.flush()
            session.execute(update(InspectionRow).where(InspectionRow.id == identifier).values(review_id=review.id))
        with self._session() as session:
            return session.get_one(InspectionRow, identifier)

    def reviews(self, identifier: str) -> Sequence[ReviewRow]:
        """Return all reviews of an inspection, the latest first."""
        found = select(ReviewRow).where(ReviewRow.inspection_id == identifier).order_by(ReviewRow.id.desc())
        with self._session() as session:
            return session.scalars(found).all()

    def change_threshold(self, row: ThresholdRow, *, own: float, replaces: float | None = None) -> None:
        """Store a change of a threshold, and in ``row.old`` the one that was in force.

        ``own`` is the threshold of the model file, in force where there was no change. Raises ThresholdChanged if
        ``replaces`` is given and another is in force: somebody else was faster. The latest change is in force.
        """
        with self._session.begin() as session:
            if session.get_bind().dialect.name == "postgresql":
                session.execute(text("LOCK TABLE threshold_changes IN SHARE ROW EXCLUSIVE MODE"))
            # The row is written first, which locks a SQLite database for this transaction.
            row.old = own
            session.add(row)
            session.flush()
            before = session.scalar(_latest_threshold(row.category, row.model_checksum).where(ThresholdRow.id < row.id))
            row.old = own if before is None else before
            if replaces is not None and replaces != row.old:
                raise ThresholdChanged(f"the threshold is {row.old:g} by now, not {replaces:g}; look at it first")

    def threshold_changes(self, category: str) -> Sequence[ThresholdRow]:
        """Return the changes of a category's threshold, the latest first."""
        changes = select(ThresholdRow).where(ThresholdRow.category == category).order_by(ThresholdRow.id.desc())
        with self._session() as session:
            return session.scalars(changes).all()

    def saved_threshold(self, category: str, model_checksum: str) -> float | None:
        """Return the threshold that was saved last for this very model file, or None."""
        latest = _latest_threshold(category, model_checksum)
        with self._session() as session:
            return session.scalar(latest)


def _newest_first(wanted: Filter) -> Select[InspectionRow]:
    order = InspectionRow.created_at.desc(), InspectionRow.id
    return select(InspectionRow).where(*wanted.conditions()).order_by(*order)


def _latest_threshold(category: str, model_checksum: str) -> Select[float]:
    latest = select(ThresholdRow.new).order_by(ThresholdRow.id.desc()).limit(1)
    return latest.where(ThresholdRow.category == category, ThresholdRow.model_checksum == model_checksum)
