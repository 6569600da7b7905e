"""The interval of a share against scipy, and the CSV text against its reader."""

from __future__ import annotations

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from fastener.common.intervals import wilson_interval
from fastener.common.spreadsheet import BOM, csv_text


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_interval_is_wilsons(found: int, missed: int) -> None:
    total = found + missed
    if not total:
        assert wilson_interval(0, 0) == (0.0, 1.0)
        return
    expected = binomtest(found, total).proportion_ci(0.95, method="wilson")
    assert wilson_interval(found, total) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_a_table_has_empty_cells_for_what_is_missing() -> None:
    text = csv_text(["a", "b"], [{"a": None, "b": 'x, "y"', "c": 1}, {"b": "odd \udcff name"}])
    lines = text.removeprefix(BOM).splitlines()
    assert list(csv.reader(lines)) == [
        ["a", "b"],
        ["", 'x, "y"'],
        ["", "odd \\udcff name"],
    ]
    assert text.encode()
