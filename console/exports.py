"""The history as files: a table for spreadsheets, and reviewed images as a labelled split."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO

from fastener.common.spreadsheet import CsvWriter, rows_text
from fastener.console.characters import visible
from fastener.console.pictures import suffix
from fastener.console.store import PictureStore
from fastener.console.tables import FAIL, NO_PART, ORIGIN, RESULT_COLUMNS, InspectionRow
from fastener.datasets.dataset import CSV_NAME

_FIGURES = tuple(field.name for field in RESULT_COLUMNS if field.kind is float)
# Columns of the kind of defect, and where they are in ``naming``.
_KIND = {
    "kind": "verdict", "most_like": "named", "most_like_share": "confidence", "unlike_known": "score",
    "unknown_above": "threshold",
}  # fmt: skip
_COLUMNS = (
    "id",
    "time",
    "category",
    "model_checksum",
    "file_name",
    "image_checksum",
    *ORIGIN,
    *_FIGURES,
    "decision",
    *_KIND,
    "problem",
    "reviewed_verdict",
    "reviewer",
    "note",
    "reviewed_at",
)


def as_csv(rows: Iterable[InspectionRow]) -> Iterator[str]:
    """Format rows as lines of CSV, the header first."""
    lines = io.StringIO()
    writer = CsvWriter(lines)

    def line(values: Iterable[object]) -> str:
        writer.write_row(visible(value) if isinstance(value, str) else value for value in values)
        text = lines.getvalue()
        lines.seek(0)
        lines.truncate()
        return text

    yield line(_COLUMNS)
    for row in rows:
        review = row.review
        yield line(
            (
                row.id,
                row.created_at.isoformat(),
                row.category,
                row.model_checksum,
                row.file_name,
                row.image_checksum,
                *(getattr(row, name) for name in ORIGIN),
                *(getattr(row, name) for name in _FIGURES),
                row.decision,
                *((row.naming or {}).get(name, "") for name in _KIND.values()),
                row.problem,
                review.verdict if review else "",
                review.reviewer if review else "",
                review.note if review else "",
                review.created_at.isoformat() if review else "",
            )
        )


@dataclass(frozen=True)
class Exported:
    """Number of images in a split, and of images that could not be exported because they are no longer stored."""

    images: int
    missing: int


def write_split(rows: Iterable[InspectionRow], pictures: PictureStore, split: str, file: IO[bytes]) -> Exported:
    """Zip ``<split>/_classes.csv`` and the images of reviewed inspections, labelled as the reviewers judged them.

    ``rows`` come with the latest first, so that an image which was inspected several times has its latest review.
    An image without a part, as a reviewer judged it, is neither good nor a defect, and is left out.
    Images are named by their checksum, because their own names may not be safe as file names.
    """
    rows_of_split: list[tuple[object, ...]] = [("filename", "good", "defect")]
    seen: set[str] = set()
    missing = 0
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for row in rows:
            if row.review is None or row.image_checksum in seen:
                continue
            seen.add(row.image_checksum)
            if row.review.verdict == NO_PART:
                continue
            path = pictures.path(row.image_checksum)
            if path is None:
                missing += 1
                continue
            name = f"{row.image_checksum}{suffix(path)}"
            archive.write(path, f"{split}/{name}")
            defect = row.review.verdict == FAIL
            rows_of_split.append((name, int(not defect), int(defect)))
        archive.writestr(f"{split}/{CSV_NAME}", rows_text(rows_of_split))
    return Exported(len(rows_of_split) - 1, missing)
