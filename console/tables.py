"""The tables of the history."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, Float, ForeignKey, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

PASS, FAIL = "PASS", "FAIL"


class UtcTime(TypeDecorator[datetime]):
    """A moment, always with its time zone; SQLite itself would forget it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC, which also compares as text."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """In UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """What the tables have in common."""


class InspectionRow(Base):
    """One inspection, as it was answered."""

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
    score: Mapped[float] = mapped_column(Float(53))
    threshold: Mapped[float] = mapped_column(Float(53))
    p_value: Mapped[float] = mapped_column(Float(53))
    confidence: Mapped[float] = mapped_column(Float(53))
    decision: Mapped[str] = mapped_column(String(4), index=True)
    part_found: Mapped[bool]
    evidence: Mapped[dict[str, Any]] = mapped_column(JSON)
    regions: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    seconds: Mapped[float] = mapped_column(Float(53))
    review_id: Mapped[int | None] = mapped_column(ForeignKey("reviews.id", use_alter=True))

    review: Mapped[ReviewRow | None] = relationship(foreign_keys=[review_id], lazy="joined", post_update=True)


class ReviewRow(Base):
    """What a person said about a decision. Rows are added, never changed: the latest one counts."""

    __tablename__ = "reviews"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    inspection_id: Mapped[str] = mapped_column(ForeignKey("inspections.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    verdict: Mapped[str] = mapped_column(String(4))
    reviewer: Mapped[str] = mapped_column(String(80))
    note: Mapped[str] = mapped_column(Text)


class ThresholdRow(Base):
    """A change of a model's threshold. Rows are added, never changed: the latest one of a model file is in force."""

    __tablename__ = "threshold_changes"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    category: Mapped[str] = mapped_column(String(255), index=True)
    model_checksum: Mapped[str] = mapped_column(String(64))
    old: Mapped[float] = mapped_column(Float(53))
    new: Mapped[float] = mapped_column(Float(53))
    changed_by: Mapped[str] = mapped_column(String(80))
    reason: Mapped[str] = mapped_column(Text)
