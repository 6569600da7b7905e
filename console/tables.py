"""The tables of the history."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, Boolean, DateTime, Dialect, Float, ForeignKey, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator, TypeEngine

from fastener.inspection.fields import RESULT_FIELDS, Field
from fastener.inspection.result import Inspection

PASS, FAIL, NO_PART, REVIEW = "PASS", "FAIL", "NO_PART", "REVIEW"
# The decision that the console records for each verdict of the library. REVIEW exists for models that were trained with
# the setting calibration.look_band.
DECISIONS = {"normal": PASS, "LOOK": REVIEW, "ANOMALOUS": FAIL, "NO PART": NO_PART}
# Decisions that stop a part. A photo without a part counts as one of them: nothing passed.
FAILED = (FAIL, NO_PART)
# Fields of a result that may be null: photos without a part have no confidence, a model that flags every photo gives no
# p-value either, older rows lack the others.
MAY_BE_NULL = ("area", "inspected_share", "confidence", "p_value", "figures", "note")
# Fields of a result that have a column of their name. The console names files and verdicts in columns of its own, and
# knows no baseline shots.
RESULT_COLUMNS = tuple(
    field
    for field in RESULT_FIELDS
    if Inspection in field.on and field.name not in ("path", "verdict", "is_anomalous", "is_baseline")
)
# Where a part comes from, as its sender says, and who was signed in; "" where nobody said.
ORIGIN = ("lot", "order", "serial", "shift", "operator")
ORIGIN_LENGTH = 80
_COLUMN_TYPES: dict[Any, TypeEngine[Any]] = {bool: Boolean(), int: Integer(), float: Float(53), str: Text()}


class UtcTime(TypeDecorator[datetime]):
    """Stores a moment with its time zone, which SQLite itself would forget."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC, so that moments also compare as text."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Common base of the tables."""


class InspectionRow(Base):
    """One inspection, as the service answered it. The columns of the result follow from ``RESULT_COLUMNS``."""

    __tablename__ = "inspections"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    category: Mapped[str] = mapped_column(String(255), index=True)
    model_checksum: Mapped[str] = mapped_column(String(64))
    file_name: Mapped[str] = mapped_column(String(255))
    image_checksum: Mapped[str] = mapped_column(String(64), index=True)
    heatmap_checksum: Mapped[str | None] = mapped_column(String(64))
    width: Mapped[int] = mapped_column(Integer)
    height: Mapped[int] = mapped_column(Integer)
    decision: Mapped[str] = mapped_column(String(8), index=True)
    seconds: Mapped[float] = mapped_column(Float(53))
    naming: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    review_id: Mapped[int | None] = mapped_column(ForeignKey("reviews.id", use_alter=True))
    lot: Mapped[str] = mapped_column(String(ORIGIN_LENGTH), default="")
    order: Mapped[str] = mapped_column(String(ORIGIN_LENGTH), default="")
    serial: Mapped[str] = mapped_column(String(ORIGIN_LENGTH), default="")
    shift: Mapped[str] = mapped_column(String(ORIGIN_LENGTH), default="")
    operator: Mapped[str] = mapped_column(String(ORIGIN_LENGTH), default="")

    review: Mapped[ReviewRow | None] = relationship(foreign_keys=[review_id], lazy="joined", post_update=True)

    if TYPE_CHECKING:  # of the derived columns, those that the code names
        score: Mapped[float]
        threshold: Mapped[float]
        p_value: Mapped[float | None]
        confidence: Mapped[float | None]
        problem: Mapped[str]


def _column(field: Field) -> Any:
    """Make the column of a result field; a nested value is stored as JSON."""
    return mapped_column(_COLUMN_TYPES.get(field.kind, JSON()), nullable=field.name in MAY_BE_NULL)


for _field in RESULT_COLUMNS:
    setattr(InspectionRow, _field.name, _column(_field))


class ReviewRow(Base):
    """A person's judgement of a decision. Rows are added and never changed: the latest one counts."""

    __tablename__ = "reviews"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    inspection_id: Mapped[str] = mapped_column(ForeignKey("inspections.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    verdict: Mapped[str] = mapped_column(String(8))
    reviewer: Mapped[str] = mapped_column(String(80))
    note: Mapped[str] = mapped_column(Text)


class ThresholdRow(Base):
    """A change of a model's threshold. Rows are added and never changed: the latest one is in force."""

    __tablename__ = "threshold_changes"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    category: Mapped[str] = mapped_column(String(255), index=True)
    model_checksum: Mapped[str] = mapped_column(String(64))
    old: Mapped[float] = mapped_column(Float(53))
    new: Mapped[float] = mapped_column(Float(53))
    changed_by: Mapped[str] = mapped_column(String(80))
    reason: Mapped[str] = mapped_column(Text)


class SessionRow(Base):
    """A person who is signed in, by a digest of what the browser's cookie holds."""

    __tablename__ = "sessions"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    ends_at: Mapped[datetime] = mapped_column(UtcTime)
    name: Mapped[str] = mapped_column(String(80), default="")


class AccountRow(Base):
    """A person who may sign in by name while ``active``; ``digest`` is an argon2 hash of the password."""

    __tablename__ = "accounts"

    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    digest: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    active: Mapped[bool] = mapped_column(Boolean, default=True)
