"""Which photos are left out together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastener.inspection.grouping import Grouping, in_blocks
from fastener.inspection.reading import Fingerprint
from fastener.inspection.training import TrainingRecord


def _alike_in_a_row(count: int, seed: int = 0) -> np.ndarray:
    """Signatures float32 (count, 64) that drift slowly: each is like the ones before and after it."""
    steps = np.random.default_rng(seed).standard_normal((count, 64))
    return (0.3 * steps.cumsum(0) + 0.1 * np.random.default_rng(seed + 1).standard_normal((count, 64))).astype(
        np.float32
    )


@given(st.lists(st.integers(0, 60), min_size=1, max_size=400))
def test_blocks_are_runs_that_keep_copies_together(copies: list[int]) -> None:
    order = list(dict.fromkeys(copies))  # each group of copies where it stands first
    place = {group: i for i, group in enumerate(order)}
    drift = _alike_in_a_row(len(order))
    blocks = in_blocks(np.array(copies), np.stack([drift[place[group]] for group in copies]))
    size = min(max(1, len(order) // 20), 10)
    assert blocks.tolist() == [order[place[group] // size * size] for group in copies]


def test_size_of_a_block() -> None:
    assert in_blocks(np.arange(39), _alike_in_a_row(39)).tolist() == list(range(39))
    assert in_blocks(np.arange(60), _alike_in_a_row(60)).tolist() == [i // 3 * 3 for i in range(60)]
    assert np.bincount(in_blocks(np.arange(5000), _alike_in_a_row(5000))).max() == 10


def test_photos_in_no_order_are_left_out_one_by_one() -> None:
    alone = 0
    for seed in range(200):
        shuffled = np.random.default_rng(seed).permutation(_alike_in_a_row(80, seed))
        alone += len(np.unique(in_blocks(np.arange(80), shuffled))) == 80
    assert alone >= 196  # the test's level is 0.001


def _photos(count: int, seed: int = 0) -> list[Fingerprint]:
    return [Fingerprint("", one) for one in _alike_in_a_row(count, seed)]


def test_a_record_remembers_who_was_left_out_with_whom(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("grouping", "training"):
        monkeypatch.setattr(f"fastener.inspection.{module}.copy_groups", lambda signatures: np.arange(len(signatures)))
    photos = _photos(40)
    grouping = Grouping.of(photos)
    record = TrainingRecord.of(photos, grouping)
    assert record.left_out.tolist() == [i // 2 * 2 for i in range(40)]
    longer = record.extended(_photos(44, 1))
    assert longer.groups.tolist() == list(range(84))
    assert longer.left_out[40:].tolist() == [40 + i // 2 * 2 for i in range(44)]
    tablets = record.extended(_photos(4, 2), [90, 90, 91, 91])
    assert tablets.left_out[40:].tolist() == [90, 90, 91, 91]
    assert tablets.groups[40:].tolist() == [40, 41, 42, 43]
