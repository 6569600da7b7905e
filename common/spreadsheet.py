"""Tables for spreadsheets and programs: written so that Excel opens them, read as Excel writes them."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

# Without it Excel reads a file as the system's own 8-bit characters.
BOM = "\ufeff"
# Text that begins so is run as a formula; Excel takes the wide characters of East Asian keyboards too.
_FORMULA = "=+\\-@\t\r\uff1d\uff0b\uff0d\uff20"
# Where commas are decimal, Excel begins a new cell at a semicolon, even inside quotes.
_RUNS = re.compile(f"(^|[;\n])([{_FORMULA}])")
_DELIMITERS = (",", ";", "\t")


class _File(Protocol):
    def write(self, text: str, /) -> object: ...


class CsvWriter:
    """Writes rows of a table in UTF-8 with a byte order mark. All tables are written by it.

    Text that a spreadsheet would run as a formula is quoted with an apostrophe; numbers stay as they are. None gives an
    empty cell. File names that are not valid Unicode are written with escapes.

    Parameters
    ----------
    file : file
        Receives the text; the byte order mark with the first row.
    """

    def __init__(self, file: _File):
        self._file = file
        self._start = BOM

    def write_row(self, values: Iterable[Any]) -> None:
        """Append one row."""
        text = io.StringIO()
        # With both characters in the terminator, a cell that holds one of them is quoted.
        csv.writer(text, lineterminator="\r\n").writerow([_cell(value) for value in values])
        row = text.getvalue().removesuffix("\r\n").encode("utf-8", "backslashreplace").decode() + "\n"
        self._file.write(self._start + row)
        self._start = ""


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Format rows as CSV with a header, as ``CsvWriter`` does. Keys that are no columns are left out."""
    return rows_text([columns, *([row.get(column) for column in columns] for row in rows)])


def rows_text(rows: Iterable[Iterable[Any]]) -> str:
    """Format rows of cells as CSV, as ``CsvWriter`` does."""
    text = io.StringIO()
    writer = CsvWriter(text)
    for row in rows:
        writer.write_row(row)
    return text.getvalue()


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and stripped cells of each row of a CSV file that is not blank.

    Cells are separated by commas, semicolons or tabs, as the first line has it; a byte order mark and a line "sep=;"
    are passed over. Raises OSError, UnicodeDecodeError for a file that is neither UTF-8 nor marked UTF-16, and
    ``csv.Error``.
    """
    content = path.read_bytes()
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if marked else "utf-8-sig")
    first, _, rest = text.partition("\n")
    skipped = 0
    if first.strip().lower().startswith("sep=") and len(first.strip()) == 5:
        delimiter, text, skipped = first.strip()[4], rest, 1
    else:
        delimiter = delimiter_of(first)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    for row in reader:
        cells = [cell.strip() for cell in row]
        if any(cells):
            yield reader.line_num + skipped, cells


def delimiter_of(header: str) -> str:
    """Tell what separates the cells of a table from its first line; quoted text does not count."""
    plain = "".join(header.split('"')[::2])
    return max(_DELIMITERS, key=plain.count)


def with_point(number: str) -> str:
    """Write a number that has a decimal comma with a point."""
    return number.replace(",", ".")


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, Path):
        value = str(value)
    # Nearly no cell begins like a formula, so whether it is a number is asked last.
    if value and isinstance(value, str) and _RUNS.search(value) and not _is_number(value):
        return _RUNS.sub(r"\1'\2", value)
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
