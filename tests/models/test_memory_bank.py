"""Nearest neighbours against brute force in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastener.models.memory_bank import MemoryBank

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def brute_force(rows: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    differences = queries.astype(np.float64)[:, None] - rows.astype(np.float64)[None]
    return np.sort(np.sqrt((differences**2).sum(2)), 1)[:, :k]


def search(rows: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    distances, found = MemoryBank(torch.from_numpy(rows)).search(torch.from_numpy(queries), k)
    assert distances.dtype == torch.float32
    assert found.dtype == torch.int64
    return distances.numpy(), found.numpy()


@pytest.mark.parametrize("offset", [0.0, 30.0])
@pytest.mark.parametrize("n_queries", [3, 200])  # FAISS takes another path for few queries
@pytest.mark.parametrize("k", [1, 9])
def test_equals_brute_force(offset: float, n_queries: int, k: int) -> None:
    generator = np.random.default_rng(0)
    rows = (generator.normal(size=(500, 64)) + offset).astype(np.float32)
    queries = (generator.normal(size=(n_queries, 64)) + offset).astype(np.float32)
    distances, found = search(rows, queries, k)
    np.testing.assert_allclose(distances, brute_force(rows, queries, k), rtol=1e-5)
    to_found = np.linalg.norm(queries[:, None].astype(float) - rows[found].astype(float), axis=2)
    np.testing.assert_allclose(to_found, distances, rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 25), st.just(4)), elements=st.floats(-100, 100, width=16)),
    hnp.arrays(np.float32, st.tuples(st.integers(1, 25), st.just(4)), elements=st.floats(-100, 100, width=16)),
    st.integers(1, 30),
)
def test_any_small_bank(rows: np.ndarray, queries: np.ndarray, k: int) -> None:
    distances, found = search(rows, queries, k)
    k = min(k, len(rows))
    assert distances.shape == found.shape == (len(queries), k)
    # The expansion may mistake one of two near rows for the other, by no more than float32 leaves of the norms.
    span = float(np.abs(np.concatenate([rows, queries]) - rows.mean(0)).max())
    np.testing.assert_allclose(distances, brute_force(rows, queries, k), rtol=1e-5, atol=2e-3 * span)
    assert (np.diff(distances, axis=1) >= 0).all()
    assert all(len(set(row)) == k for row in found.tolist())


@pytest.mark.parametrize("n_queries", [5, 300])
def test_a_row_finds_itself_at_distance_zero(n_queries: int) -> None:
    rows = (np.random.default_rng(1).normal(size=(300, 32)) * 5 + 100).astype(np.float32)
    distances, found = search(rows, rows[:n_queries], 2)
    assert distances[:, 0].max() == 0
    assert found[:, 0].tolist() == list(range(n_queries))
    assert distances[:, 1].min() > 1


def test_near_copies_keep_their_digits() -> None:
    """|a|^2 + |b|^2 - 2ab alone would lose a distance of 1e-3 beside norms of 60."""
    rows = (np.random.default_rng(2).normal(size=(100, 32)) * 10).astype(np.float32)
    queries = rows.copy()
    queries[:, 0] += np.float32(1e-3)
    distances, _ = search(rows, queries, 1)
    np.testing.assert_allclose(distances, brute_force(rows, queries, 1), atol=1e-5)
    np.testing.assert_allclose(distances, 1e-3, rtol=0.02)


def test_more_neighbours_than_rows() -> None:
    rows = np.eye(3, 5, dtype=np.float32)
    distances, found = search(rows, rows, 9)
    assert distances.shape == (3, 3)
    np.testing.assert_allclose(distances, np.tile([0, 2**0.5, 2**0.5], (3, 1)), rtol=1e-6)
    assert np.sort(found, 1).tolist() == [[0, 1, 2]] * 3


def test_duplicates_are_found_each_once() -> None:
    rows = np.repeat(np.array([[0.0, 0.0], [3.0, 4.0]], np.float32), 3, axis=0)
    distances, found = search(rows, np.zeros((25, 2), np.float32), 6)
    np.testing.assert_allclose(distances, np.tile([0, 0, 0, 5, 5, 5], (25, 1)), atol=1e-6)
    assert np.sort(found, 1).tolist() == [[0, 1, 2, 3, 4, 5]] * 25


def test_queries_in_many_chunks_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(4)
    rows = generator.normal(size=(40, 8)).astype(np.float32)
    queries = generator.normal(size=(95, 8)).astype(np.float32)
    monkeypatch.setattr("fastener.models.memory_bank._QUERIES_AT_ONCE", 30)
    np.testing.assert_allclose(search(rows, queries, 3)[0], brute_force(rows, queries, 3), rtol=1e-5)
    assert search(rows, queries[:0], 3)[0].shape == (0, 3)


def test_length_and_half_precision() -> None:
    rows = torch.rand(6, 4, generator=torch.Generator().manual_seed(0)).half()
    bank = MemoryBank(rows)
    assert len(bank) == 6
    assert bank.features.dtype == torch.float32
    assert bank.search(rows)[0].max() == 0


@needs_cuda
@pytest.mark.parametrize("k", [1, 9])
def test_gpu_equals_brute_force(k: int) -> None:
    generator = np.random.default_rng(0)
    rows = (generator.normal(size=(500, 64)) + 30).astype(np.float32)
    queries = np.concatenate([rows[:20], generator.normal(size=(100, 64)) + 30]).astype(np.float32)
    distances, found = MemoryBank(torch.from_numpy(rows), "cuda").search(torch.from_numpy(queries).cuda(), k)
    assert found.device == distances.device == torch.device("cuda", 0)
    np.testing.assert_allclose(distances.cpu().numpy(), brute_force(rows, queries, k), rtol=1e-5, atol=1e-5)
    assert found[:20, 0].tolist() == list(range(20))


@pytest.mark.parametrize("n_queries", [5, 200])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
def test_rows_left_out_are_never_found(n_queries: int, device: str) -> None:
    """The queries are rows themselves, so that each finds itself unless it is left out."""
    rows = np.random.default_rng(5).normal(size=(300, 16)).astype(np.float32)
    left_out = np.arange(300) % 3 == 0
    bank = MemoryBank(torch.from_numpy(rows), device)
    others = bank.without(torch.from_numpy(left_out))
    distances, found = others.search(torch.from_numpy(rows[:n_queries]).to(device), 4)
    assert (len(others), len(bank)) == (200, 300)
    assert not left_out[found.cpu().numpy()].any()
    expected = brute_force(rows[~left_out], rows[:n_queries], 4)
    np.testing.assert_allclose(distances.cpu().numpy(), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(others.rows(found).cpu().numpy(), rows[found.cpu().numpy()])
    assert bank.search(torch.from_numpy(rows[:20]).to(device))[0].max() == 0, "the bank itself has lost rows"


@pytest.mark.parametrize("k", [1, 7])
@pytest.mark.parametrize("numbers", [1, 60, 10**6])
def test_products_are_made_tile_by_tile(numbers: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU does; tiles of one row, of a few and of all."""
    monkeypatch.setattr("fastener.models.memory_bank._PRODUCTS_AT_ONCE", numbers)
    generator = np.random.default_rng(8)
    rows, queries = (generator.normal(size=(n, 8)).astype(np.float32) for n in (50, 6))
    left_out = np.arange(50) % 4 == 1
    bank = MemoryBank(torch.from_numpy(rows)).without(torch.from_numpy(left_out))
    found = bank._by_products(torch.from_numpy(queries) - bank._centre, k).numpy()
    assert not left_out[found].any()
    distances = np.linalg.norm(rows[found] - queries[:, None], axis=2)
    np.testing.assert_allclose(distances, brute_force(rows[~left_out], queries, k), rtol=1e-5)


def test_no_more_neighbours_than_rows_are_left() -> None:
    bank = MemoryBank(torch.eye(6)).without(torch.tensor([True, True, True, False, False, False]))
    assert np.sort(bank.search(torch.eye(6), 9)[1].numpy(), 1).tolist() == [[3, 4, 5]] * 6


def test_many_candidates_are_compared_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastener.models.memory_bank._NUMBERS_AT_ONCE", 100)
    generator = np.random.default_rng(6)
    rows, queries = (generator.normal(size=(n, 8)).astype(np.float32) for n in (40, 33))
    np.testing.assert_allclose(search(rows, queries, 9)[0], brute_force(rows, queries, 9), rtol=1e-5)
