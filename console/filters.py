"""Conditions and orders of queries on the history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, String, case, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from fastener.console.database import folded
from fastener.console.tables import ORIGIN, PASS, REVIEW, InspectionRow, ReviewRow

Reviewed = Literal["none", "any", "confirmed", "overruled"]
Sort = Literal["time", "category", "file_name", "score", "decision", "lot", "serial"]


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
        "PASS", "REVIEW", "FAIL" or "NO_PART".
    reviewed : str or None
        "none": not reviewed; "any": reviewed; "confirmed" or "overruled": by the latest review.
    text : str or None
        Part of the file name, whatever its case and accents.
    lot, order, serial, shift, operator : str or None
        Where the part comes from and who inspected it, whatever its case and accents.
    """

    since: datetime | None = None
    until: datetime | None = None
    category: str | None = None
    decision: str | None = None
    reviewed: Reviewed | None = None
    text: str | None = None
    lot: str | None = None
    order: str | None = None
    serial: str | None = None
    shift: str | None = None
    operator: str | None = None

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
            passed = case((row.decision == REVIEW, PASS), else_=row.decision)  # a part to look at is one that passed
            if self.reviewed == "confirmed":
                found.append(row.review.has(ReviewRow.verdict == passed))
            elif self.reviewed == "overruled":
                found.append(row.review.has(ReviewRow.verdict != passed))
        if self.text is not None:
            found.append(_holds(row.file_name, self.text))
        for name in ORIGIN:
            wanted = getattr(self, name)
            if wanted is not None:
                column = getattr(row, name)
                found.append(or_(_Folded(column) == folded(wanted), column == wanted))
        return found


def ordered(sort: Sort, descending: bool) -> list[ColumnElement[Any]]:
    """Build the SQL order; equal rows come with the newest first."""
    row = InspectionRow
    column: Any = row.created_at if sort == "time" else getattr(row, sort)
    first = column.desc() if descending else column.asc()
    then = [] if sort == "time" else [row.created_at.desc()]
    return [first, *then, row.id.asc()]


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
