"""Tables as spreadsheets write and read them."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastener.common.spreadsheet import BOM, csv_text, read_rows, rows_text

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=12).map(str.strip)


def test_a_table_opens_in_excel_and_runs_no_formula() -> None:
    text = csv_text(["name", "value"], [{"name": "Prüfling", "value": -1.5}, {"name": "=1+1", "value": "-2.5"}])
    assert text.startswith(BOM)
    assert text.removeprefix(BOM).splitlines() == ["name,value", "Prüfling,-1.5", "'=1+1,-2.5"]


def test_a_cell_that_splits_where_semicolons_separate_runs_nothing() -> None:
    (row,) = csv.reader(io.StringIO(rows_text([["a;=1+1;b", "c;d"]]).removeprefix(BOM), newline=""))
    assert row == ["a;'=1+1;b", "c;d"]


@given(
    st.sampled_from(["=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20"]),
    st.text("abc()!", min_size=1, max_size=8),
)
def test_any_text_that_would_run_is_quoted(start: str, rest: str) -> None:
    (row,) = csv.reader(io.StringIO(rows_text([[start + rest]]).removeprefix(BOM), newline=""))
    assert row == [f"'{start}{rest}"]


@given(st.lists(st.lists(CELLS, min_size=2, max_size=4), min_size=1, max_size=5), st.sampled_from(",;\t"))
def test_rows_come_back_whatever_separates_them(rows: list[list[str]], delimiter: str) -> None:
    rows = [["a", "b"], *rows]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.csv")
        path.write_text(BOM + text.getvalue(), encoding="utf-8", newline="")
        assert [cells for _, cells in read_rows(path)] == [row for row in rows if any(row)]


@pytest.mark.parametrize(
    "content",
    [
        b"a;b\n1,5;2\n", b"\xef\xbb\xbfa;b\r\n1,5;2\r\n", b"sep=;\na;b\n1,5;2\n", b'"a";"b"\n"1,5";"2"\n',
        "a\tb\n1,5\t2\n".encode("utf-16"), b'a,b\n"1,5",2\n',
    ],
)  # fmt: skip
def test_tables_of_spreadsheets(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "table.csv").write_bytes(content)
    assert [cells for _, cells in read_rows(tmp_path / "table.csv")] == [["a", "b"], ["1,5", "2"]]
