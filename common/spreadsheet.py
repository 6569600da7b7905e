"""Format tables as CSV for spreadsheets and for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Format rows as CSV with a header. A value that is None or missing gives an empty cell; further keys are left out.

    File names that are not valid Unicode are written with escapes, so that the text can be encoded.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = (row.get(column) for column in columns)
        writer.writerow("" if value is None else value for value in values)
    return text.getvalue().encode("utf-8", "backslashreplace").decode()
