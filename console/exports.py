"""The history as files: a table for spreadsheets, and reviewed images as a labelled split."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO

from fastener.console.pictures import suffix
from fastener.console.store import PictureStore
from fastener.console.tables import FAIL, InspectionRow
from fastener.datasets.csv_splits import CSV_NAME

_COLUMNS = (
    "id",
    "time",
    "category",
    "model_checksum",
    "file_name",
    "image_checksum",
    "score",
    "threshold",
    "p_value",
    "confidence",
    "decision",
    "reviewed_verdict",
    "reviewer",
    "note",
    "reviewed_at",
)
# Spreadsheets take text that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(rows: Iterable[InspectionRow]) -> Iterator[str]:
    """CSV lines, the header first. Text that a spreadsheet would run is quoted with an apostrophe."""
    yield _line(_COLUMNS)
    for row in rows:
        review = row.review
        yield _line(
            (
                row.id,
                row.created_at.isoformat(),
                _text(row.category),
                row.model_checksum,
                _text(row.file_name),
                row.image_checksum,
                row.score,
                row.threshold,
                row.p_value,
                row.confidence,
                row.decision,
                review.verdict if review else "",
                _text(review.reviewer) if review else "",
                _text(review.note) if review else "",
                review.created_at.isoformat() if review else "",
            )
        )


@dataclass(frozen=True)
class Exported:
    """How many images went into a split, and how many are no longer kept."""

    images: int
    missing: int


def write_split(rows: Iterable[InspectionRow], pictures: PictureStore, split: str, file: IO[bytes]) -> Exported:
    """Zip ``<split>/_classes.csv`` and the images of reviewed inspections, labelled as the reviewers said.

    ``rows`` come the latest first: an image that was inspected several times has its latest review. Images are named
    by their checksum, as their own names may be anything.
    """
    lines = [_line(("filename", "good", "defect"))]
    seen: set[str] = set()
    missing = 0
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for row in rows:
            if row.review is None or row.image_checksum in seen:
                continue
            seen.add(row.image_checksum)
            path = pictures.path(row.image_checksum)
            if path is None:
                missing += 1
                continue
            name = f"{row.image_checksum}{suffix(path)}"
            archive.write(path, f"{split}/{name}")
            defect = row.review.verdict == FAIL
            lines.append(_line((name, int(not defect), int(defect))))
        archive.writestr(f"{split}/{CSV_NAME}", "".join(lines))
    return Exported(len(lines) - 1, missing)


def _line(values: Iterable[object]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(values)
    return buffer.getvalue()


def _text(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA) else value
