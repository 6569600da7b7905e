"""The rule of consecutive slices as a table of cases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastener.anode.hits import Box, Hit, counted_in, find_runs, hits_by_slice


def hit(number: int, x: float = 10, width: float = 10, region: str = "left") -> Hit:
    return Hit(number, region, Box(x, 20, x + width, 40, 1.0, "crack"))


def at(*numbers: int, x: float = 10, region: str = "left") -> list[Hit]:
    return [hit(number, x, region=region) for number in numbers]


# name: hits, N, step -> first and last slice of each run
CASES = {
    "nothing": ([], 1, 1, []),
    "one of one": (at(5), 1, 1, [(5, 5)]),
    "one of two": (at(5), 2, 1, []),
    "just enough": (at(3, 4, 5, 6), 4, 1, [(3, 6)]),
    "one short": (at(3, 4, 5), 4, 1, []),
    "longer stays one run": (at(*range(10)), 4, 1, [(0, 9)]),
    "a slice without a hit ends it": (at(1, 2, 3, 5, 6, 7), 4, 1, []),
    "two runs with a gap": (at(1, 2, 3, 5, 6, 7), 3, 1, [(1, 3), (5, 7)]),
    "order of the hits does not matter": (at(4, 2, 3), 3, 1, [(2, 4)]),
    "another place is no continuation": ([*at(1, 2), *at(3, 4, x=80)], 3, 1, []),
    "a place that drifts goes on": ([hit(i, 10 + 6 * i) for i in range(6)], 6, 1, [(0, 5)]),
    "a touch without area is no overlap": ([hit(1, 10), hit(2, 20)], 2, 1, []),
    "the same place of another region": ([*at(1, 2), *at(3, 4, region="right")], 3, 1, []),
    "two places at once": ([*at(1, 2, 3), *at(2, 3, 4, x=80)], 3, 1, [(1, 3), (2, 4)]),
    "two boxes in one slice are one slice": ([*at(1), *at(1, x=12), *at(2)], 3, 1, []),
    "two boxes that meet are one run": ([*at(1), *at(1, x=30), hit(2, 10, 30)], 2, 1, [(1, 2)]),
    "every fifth slice was scanned": (at(0, 5, 10, 15), 4, 5, [(0, 15)]),
    "a slice of every fifth is missing": (at(0, 5, 15, 20), 3, 5, []),
}


@pytest.mark.parametrize(("hits", "at_least", "step", "expected"), CASES.values(), ids=CASES)
def test_runs(hits: list[Hit], at_least: int, step: int, expected: list[tuple[int, int]]) -> None:
    assert [(run.first, run.last) for run in find_runs(hits, at_least, step)] == expected


def test_nothing_is_kept_from_one_call_to_the_next() -> None:
    """Two batteries with half a run each do not make one."""
    assert find_runs(at(1, 2), 4) == []
    assert find_runs(at(3, 4), 4) == []


def test_every_hit_of_a_run_counts_and_no_other() -> None:
    lonely = hit(7, 200)
    counted = hits_by_slice(find_runs([*at(6, 7, 8), lonely], 3))
    assert {number: len(hits) for number, hits in counted.items()} == {6: 1, 7: 1, 8: 1}


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 40)), max_size=40), st.integers(1, 5), st.integers(1, 2))
def test_whether_a_hit_counts_is_known_from_its_neighbourhood(
    places: list[tuple[int, int]], at_least: int, step: int
) -> None:
    hits = [hit(number, x, width=15) for number, x in dict.fromkeys(places)]
    by_number: dict[int, list[Hit]] = {}
    for one in hits:
        by_number.setdefault(one.number, []).append(one)
    expected = hits_by_slice(find_runs(hits, at_least, step))
    for number in range(13):
        found = counted_in(number, by_number, at_least, step)
        assert sorted(map(repr, found)) == sorted(map(repr, expected.get(number, [])))
