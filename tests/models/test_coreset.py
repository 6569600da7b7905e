"""The block-wise coreset against the textbook loop in float64 with direct differences."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastener.models import coreset
from fastener.models.bank_rows import rows_to_keep
from fastener.models.coreset import cover_radius, greedy_coreset


def to_nearest(rows: np.ndarray, centre: np.ndarray) -> np.ndarray:
    return np.sqrt(((rows.astype(np.float64) - centre.astype(np.float64)) ** 2).sum(1))


def textbook(
    features: np.ndarray, k: int, centres: np.ndarray | None = None, first: int = 0
) -> tuple[list[int], float]:
    """One pass over all features per pick."""
    nearest = np.full(len(features), np.inf)
    picks: list[int] = []
    for centre in [] if centres is None else centres:
        nearest = np.minimum(nearest, to_nearest(features, centre))
    for number in range(k):
        choice = nearest.copy()
        choice[picks] = -1
        picks.append(first if number == 0 and centres is None else int(choice.argmax()))
        nearest = np.minimum(nearest, to_nearest(features, features[picks[-1]]))
    return picks, float(nearest.max())


def assert_greedy(features: np.ndarray, indices: np.ndarray, radius: float, first: int = 0) -> None:
    """Each pick is the farthest row at its time, but for rounding; this holds whichever way near ties fall."""
    scale = float(np.abs(features.astype(np.float64) - features.mean(0, dtype=np.float64)).max()) or 1.0
    assert indices[0] == first
    assert len(set(indices.tolist())) == len(indices)
    nearest = to_nearest(features, features[first])
    for pick in indices[1:]:
        assert nearest[pick] >= nearest.max() - 1e-4 * scale
        nearest = np.minimum(nearest, to_nearest(features, features[pick]))
    assert radius == pytest.approx(nearest.max(), rel=1e-6, abs=1e-6 * scale)


def clustered(n: int, dim: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    middles = rng.normal(size=(12, dim)) * 3
    return (middles[rng.integers(12, size=n)] + rng.normal(size=(n, dim)) + 5).astype(np.float32)


@pytest.mark.parametrize("block", [1, 7, 64, 5000])
@pytest.mark.parametrize("first", [0, 411])
def test_picks_of_the_textbook_loop(block: int, first: int) -> None:
    features = clustered(900, 16)
    expected, radius = textbook(features, 120, first=first)
    result = greedy_coreset(features, 120, block=block, first=first)
    assert result.indices.dtype == np.int64
    assert result.indices.tolist() == expected
    assert result.cover_radius == pytest.approx(radius, rel=1e-9)


def test_more_rows_than_a_chunk_and_far_fewer_passes_than_picks() -> None:
    features = clustered(5000, 24)
    result = greedy_coreset(features, 1500, block=512)
    assert_greedy(features, result.indices, result.cover_radius)
    assert result.n_updates < 60


@pytest.mark.parametrize("kind", ["half", "half tensor", "mapped", "strided tensor", "mapped half"])
def test_every_storage_gives_the_picks_of_its_values(kind: str, tmp_path: Path) -> None:
    values = clustered(2500, 12, seed=3)
    if "half" in kind:
        values = values.astype(np.float16)
    features: np.ndarray | torch.Tensor = values
    if "mapped" in kind:
        np.save(tmp_path / "features.npy", values)
        features = np.load(tmp_path / "features.npy", mmap_mode="r")
    elif kind == "strided tensor":
        features = torch.from_numpy(np.ascontiguousarray(values.T)).T
    elif kind == "half tensor":
        features = torch.from_numpy(values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = greedy_coreset(features, 90, centres=features[:2])
    expected, radius = textbook(values, 90, centres=values[:2])
    assert result.indices.tolist() == expected
    assert result.cover_radius == pytest.approx(radius, rel=1e-9)


@pytest.mark.parametrize("count", [1, 30, 1500])
def test_centres_are_continued(count: int) -> None:
    features, centres = clustered(700, 8), clustered(count, 8, seed=5) + 1
    expected, radius = textbook(features, 60, centres=centres)
    result = greedy_coreset(features, 60, centres=torch.from_numpy(centres), block=50)
    assert result.indices.tolist() == expected
    assert result.cover_radius == pytest.approx(radius, rel=1e-9)


def test_a_run_can_be_continued_where_it_stopped() -> None:
    features = clustered(600, 8)
    whole = greedy_coreset(features, 80)
    start = greedy_coreset(features, 30)
    rest = greedy_coreset(features, 50, centres=features[start.indices])
    assert np.concatenate([start.indices, rest.indices]).tolist() == whole.indices.tolist()
    assert rest.cover_radius == whole.cover_radius


@pytest.mark.parametrize("block", [1, 2, 3, 8])
def test_ties_go_to_the_lowest_index(block: int) -> None:
    simplex = np.eye(8, dtype=np.float32)
    assert greedy_coreset(simplex, 8, first=3, block=block).indices.tolist() == [3, 0, 1, 2, 4, 5, 6, 7]


@pytest.mark.parametrize("block", [1, 2, 3, 4])
def test_a_tie_across_the_edge_of_the_block_goes_to_the_lowest_index(block: int) -> None:
    line = np.array([[0], [-4], [14], [10]], dtype=np.float32)  # once 14 is picked, -4 and 10 are both 4 away
    assert greedy_coreset(line, 4, block=block).indices.tolist() == [0, 2, 1, 3]


@pytest.mark.parametrize("block", [1, 4, 100])
@pytest.mark.parametrize("value", [0.0, 0.1, 300.7])
def test_copies_follow_by_index_once_nothing_else_is_left(block: int, value: float) -> None:
    features = np.full((40, 6), value, dtype=np.float32)
    features[17] += 1
    features[30] += 1
    result = greedy_coreset(features, 40, first=5, block=block)
    others = [i for i in range(40) if i not in (5, 17)]
    assert result.indices.tolist() == [5, 17, *others]
    assert greedy_coreset(features, 2, first=5).cover_radius == 0


@pytest.mark.parametrize("offset", [0.0, 100.0])
@pytest.mark.parametrize("copies", [1, 3])
def test_small_steps_beside_large_ones_are_resolved(offset: float, copies: int) -> None:
    rng = np.random.default_rng(2)
    features = np.repeat(rng.normal(size=(3, 10)) * 10, 40, axis=0) + rng.normal(size=(120, 10)) * 1e-3 + offset
    features = np.repeat(features.astype(np.float32), copies, axis=0)
    for k in (60, 120 * copies):
        expected, radius = textbook(features, k)
        result = greedy_coreset(features, k, block=100)
        assert result.indices.tolist() == expected
        assert result.cover_radius == pytest.approx(radius, rel=1e-6)


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 5)),
    dtype=st.sampled_from([np.float32, np.float16]),
    block=st.integers(1, 45),
)
def test_always_a_greedy_selection(data: st.DataObject, shape: tuple[int, int], dtype: type, block: int) -> None:
    coarse = st.integers(-3, 3).map(float)
    fine = st.floats(-500, 500, width=16)
    features = data.draw(hnp.arrays(dtype, shape, elements=data.draw(st.sampled_from([coarse, fine]))))
    k, first = data.draw(st.integers(1, shape[0])), data.draw(st.integers(0, shape[0] - 1))
    result = greedy_coreset(features, k, first=first, block=block)
    assert len(result.indices) == k
    assert_greedy(features, result.indices, result.cover_radius, first)


def test_all_rows() -> None:
    features = clustered(300, 8)
    result = greedy_coreset(features, 300, block=32)
    assert sorted(result.indices.tolist()) == list(range(300))
    assert result.cover_radius == 0


def test_same_result_every_time() -> None:
    features = clustered(3000, 16)
    for block in (128, None):
        once, again = (greedy_coreset(features, 200, block=block) for _ in range(2))
        assert once.indices.tobytes() == again.indices.tobytes()
        assert once.cover_radius == again.cover_radius


@pytest.mark.parametrize("k", [1, 2, 1500])
def test_progress_tells_the_share_of_the_work_that_is_done(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    features, products, told = clustered(6000, 16), [0], []
    whole = torch.addmm

    def counted(bias: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, **more: Any) -> torch.Tensor:
        products[0] += len(rows) * columns.shape[1]
        return whole(bias, rows, columns, **more)

    def watched(steps: Iterable[int], total: int, label: str) -> Iterator[int]:
        assert (total, label) == (100, "coreset")
        for step in steps:
            told.append((step, products[0]))
            yield step

    monkeypatch.setattr(torch, "addmm", counted)
    greedy_coreset(features, k, block=256, progress=watched)
    assert [step for step, _ in told] == list(range(1, 101))
    if k == 1500:
        first_half = next(done for step, done in told if step == 50)
        assert first_half == pytest.approx(products[0] / 2, rel=0.3)


def test_the_block_size_that_is_chosen_changes_no_pick(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = set()
    pick_block = coreset._pick_block

    def watched(nearest: Any, left: int, size: int) -> tuple[list[int], int]:
        sizes.add(size)
        return pick_block(nearest, left, size)

    monkeypatch.setattr(coreset, "_pick_block", watched)
    features = clustered(9000, 8)
    chosen = greedy_coreset(features, 700)
    assert len(sizes) > 1
    monkeypatch.undo()
    assert chosen.indices.tolist() == greedy_coreset(features, 700, block=2048).indices.tolist()
    assert chosen.indices.tolist() == textbook(features, 700)[0]


@pytest.mark.parametrize(
    ("size", "picks", "of_half", "expected"),
    [
        (2048, 100, 99, 1024),  # the nearer half of the block brought one pick
        (1024, 200, 100, 2048),  # twice the rows, twice the picks
        (1024, 130, 100, 1024),
        (256, 2, 2, 256),
        (4096, 4000, 1000, 4096),  # no larger
    ],
)
def test_the_next_block_has_least_overhead_per_pick(size: int, picks: int, of_half: int, expected: int) -> None:
    assert coreset._next_size(60000, size, picks, of_half) == expected


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("place", ["features", "centres"])
def test_values_that_are_not_finite_are_refused(bad: float, place: str) -> None:
    arrays = {"features": clustered(50, 4), "centres": clustered(5, 4)}
    arrays[place][3, 2] = bad
    with pytest.raises(ValueError, match="not finite"):
        greedy_coreset(arrays["features"], 5, centres=arrays["centres"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "k must"),
        ({"k": 51}, "k must"),
        ({"first": 50}, "first must"),
        ({"first": -1}, "first must"),
        ({"block": 0}, "block must"),
        ({"centres": np.zeros((3, 5), dtype=np.float32)}, "5 dimensions"),
        ({"centres": np.zeros((0, 4), dtype=np.float32)}, "centres: expected shape"),
        ({"features": np.zeros((50, 4))}, "float64"),
        ({"features": np.zeros(50, dtype=np.float32)}, "features: expected shape"),
    ],
)
def test_arguments_out_of_range_are_refused(change: dict, message: str) -> None:
    arguments = {"features": clustered(50, 4), "k": 5} | change
    with pytest.raises(ValueError, match=message):
        greedy_coreset(arguments.pop("features"), arguments.pop("k"), **arguments)


# Centres from elsewhere


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_cover_radius_of_any_centres_by_brute_force(dtype: type[np.floating]) -> None:
    features, centres = clustered(700, 8).astype(dtype), clustered(30, 8, seed=3).astype(dtype)
    expected = max(to_nearest(centres, row).min() for row in features)
    assert cover_radius(features, centres) == pytest.approx(expected, rel=1e-6)
    assert cover_radius(features[:5], features) == 0


def test_greedy_in_shards_stays_within_four_times_the_best() -> None:
    """The composition of distributed/training.py, on points whose best radius is known: tight balls far apart."""
    rng = np.random.default_rng(5)
    middles = rng.normal(size=(20, 6)) * 50
    features = (middles[rng.integers(20, size=600)] + rng.uniform(-0.1, 0.1, (600, 6))).astype(np.float32)
    best = max(np.sqrt(6) * 0.1, 1e-9)  # each middle covers its ball so
    shards = np.array_split(features, 4)
    union = np.concatenate([shard[greedy_coreset(shard, 20).indices] for shard in shards])
    bank = union[greedy_coreset(union, 20).indices]
    assert cover_radius(features, bank) <= 4 * best


@pytest.mark.parametrize(
    ("patches", "images", "known", "ratio", "rows"),
    [
        (10_000, 10, 0, 0.1, 1000),
        (100_000, 100, 0, None, 2000),
        (50_000, 50, 0, None, 1000),
        (800_000, 800, 0, None, 8000),  # half the share of 200 images
        (100_000, 100, 700, None, 1000),
        (10, 1, 0, None, 1),
    ],
)
def test_rows_to_keep(patches: int, images: int, known: int, ratio: float | None, rows: int) -> None:
    assert rows_to_keep(patches, images, ratio, known_images=known) == rows
