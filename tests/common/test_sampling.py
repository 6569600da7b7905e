"""Which entries of a long list stand for all."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fastener.common.sampling import evenly, evenly_grouped


def test_evenly_keeps_first_and_last() -> None:
    assert evenly(100, 4).tolist() == [0, 33, 66, 99]
    assert evenly(2, 64).tolist() == [0, 1]
    assert evenly(0, 3).tolist() == []


@given(st.integers(1, 10**9), st.integers(2, 500))
def test_steps_differ_by_one_at_most(count: int, at_most: int) -> None:
    chosen = evenly(count, at_most).tolist()
    assert len(chosen) == min(count, at_most)
    assert (chosen[0], chosen[-1]) == (0, count - 1)
    steps = {after - before for before, after in pairwise(chosen)}
    assert not steps or max(steps) - min(steps) <= 1


def test_groups_are_chosen_by_their_members() -> None:
    groups = np.repeat(np.arange(30), 10)
    assert evenly_grouped(groups, 300).tolist() == list(range(30))
    assert evenly_grouped(groups, 50).tolist() == [0, 7, 14, 21, 29]
    assert evenly_grouped(groups, 1).tolist() == [0, 29]
    assert evenly_grouped(np.zeros(5, int), 3).tolist() == [0]
