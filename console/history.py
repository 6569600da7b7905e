"""Store and query inspections, reviews and changes of thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from sqlalchemy import Engine, Select, false, func, insert, select, text, update
from sqlalchemy.orm import sessionmaker

from fastener.common.errors import UserError
from fastener.console.filters import Filter, Sort, ordered
from fastener.console.tables import NO_PART, InspectionRow, ReviewRow, ThresholdRow


class ThresholdChanged(UserError):
    """Raised when a threshold was to replace one that is no longer in force."""


# Rows fetched at a time by queries that return every row.
_FETCH_SIZE = 500


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
        """Store one inspection. It survives a killed process when this returns, and a power cut 0.1 s later."""
        given = ((column, getattr(row, column.key)) for column in InspectionRow.__table__.columns)
        values = {column.key: value for column, value in given if value is not None or column.default is None}
        with self._engine.begin() as connection:  # a session would take three times as long
            connection.execute(insert(InspectionRow), values)

    def get(self, identifier: str) -> InspectionRow | None:
        """Return one inspection, or None if the identifier is unknown."""
        with self._session() as session:
            return session.get(InspectionRow, identifier)

    def find(
        self, wanted: Filter, limit: int, offset: int = 0, *, sort: Sort = "time", descending: bool = True
    ) -> tuple[int, Sequence[InspectionRow]]:
        """Return the number of matching inspections, and up to ``limit`` of them, by default the newest first."""
        with self._session() as session:
            total = session.scalar(select(func.count()).select_from(InspectionRow).where(*wanted.conditions()))
            rows = session.scalars(_query(wanted, sort, descending).limit(limit).offset(offset)).all()
        return total or 0, rows

    def all(self, wanted: Filter) -> Iterator[InspectionRow]:
        """Yield all matching inspections, the newest first; a few hundred are in memory at a time."""
        with self._session() as session:
            yield from session.scalars(_query(wanted).execution_options(yield_per=_FETCH_SIZE))

    def scores(self, wanted: Filter) -> list[tuple[datetime, str, str, str, float]]:
        """Return (created_at, category, model_checksum, decision, score) of all matching inspections, oldest first."""
        row = InspectionRow
        columns = select(row.created_at, row.category, row.model_checksum, row.decision, row.score)
        with self._session() as session:
            found = session.execute(columns.where(*wanted.conditions()).order_by(row.created_at))
            return [(one[0], one[1], one[2], one[3], one[4]) for one in found]

    def review(self, identifier: str, verdict: str, *, reviewer: str, note: str) -> InspectionRow:
        """Add a review of an existing inspection. ``verdict`` is the right decision, not REVIEW."""
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

    def change_threshold(self, row: ThresholdRow, *, own: float, replaces: float) -> None:
        """Store a change of a threshold, and in ``row.old`` the one that was in force.

        ``own`` is the threshold of the model file, in force where there was no change. Raises ThresholdChanged if
        another than ``replaces`` is in force: somebody else was faster. The latest change is in force.
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
            if replaces != row.old:
                raise ThresholdChanged(f"the threshold is {row.old:g} by now, not {replaces:g}; look at it first")

    def recent(self, category: str, model_checksum: str, limit: int) -> Sequence[InspectionRow]:
        """Return the latest inspections by one model file whose photo shows a part, the newest first."""
        row = InspectionRow
        found = select(row).where(row.category == category, row.model_checksum == model_checksum)
        with self._session() as session:
            return session.scalars(
                found.where(row.decision != NO_PART).order_by(row.created_at.desc(), row.id).limit(limit)
            ).all()

    def threshold_changes(
        self, category: str | None = None, *, since: datetime | None = None, until: datetime | None = None
    ) -> Sequence[ThresholdRow]:
        """Return the changes of thresholds, of one category or of all, the latest first."""
        changes = select(ThresholdRow).order_by(ThresholdRow.id.desc())
        if category is not None:
            changes = changes.where(ThresholdRow.category == category)
        if since is not None:
            changes = changes.where(ThresholdRow.created_at >= since)
        if until is not None:
            changes = changes.where(ThresholdRow.created_at < until)
        with self._session() as session:
            return session.scalars(changes).all()

    def saved_threshold(self, category: str, model_checksum: str) -> float | None:
        """Return the threshold that was saved last for this very model file, or None."""
        with self._engine.connect() as connection:  # asked for every photo; a session would take longer
            return connection.scalar(_latest_threshold(category, model_checksum))


def _query(wanted: Filter, sort: Sort = "time", descending: bool = True) -> Select[InspectionRow]:
    return select(InspectionRow).where(*wanted.conditions()).order_by(*ordered(sort, descending))


def _latest_threshold(category: str, model_checksum: str) -> Select[float]:
    latest = select(ThresholdRow.new).order_by(ThresholdRow.id.desc()).limit(1)
    return latest.where(ThresholdRow.category == category, ThresholdRow.model_checksum == model_checksum)
