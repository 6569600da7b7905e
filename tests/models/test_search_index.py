"""Indices against comparing every row in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fastener.models.memory_bank import MemoryBank
from fastener.models.search_index import FLAT_BELOW, INDICES, TARGET_RECALL, choose_index, tune

ROWS, DIM = 3000, 24


def blobs(seed: int, n: int, dim: int = DIM) -> np.ndarray:
    """Points round the same 30 places, as patches of like photos lie."""
    places = np.random.default_rng(0).normal(size=(30, dim)) * 4
    generator = np.random.default_rng(seed)
    return (places[generator.integers(30, size=n)] + generator.normal(size=(n, dim))).astype(np.float32)


def nearest(rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    differences = queries.astype(np.float64)[:, None] - rows.astype(np.float64)[None]
    return np.asarray(np.sqrt((differences**2).sum(2)).min(1))


@pytest.fixture(scope="module", params=sorted(INDICES))
def bank(request: pytest.FixtureRequest) -> MemoryBank:
    return MemoryBank(torch.from_numpy(blobs(1, ROWS))).index_by(request.param, torch.from_numpy(blobs(2, 500)))


def test_recall_on_other_queries_is_what_was_asked_for(bank: MemoryBank) -> None:
    queries = blobs(3, 1000)
    distances = bank.search(torch.from_numpy(queries))[0][:, 0].numpy()
    truth = nearest(bank.features.numpy(), queries)
    assert (distances >= truth * (1 - 1e-5)).all(), "a distance to a row cannot be below that to the nearest"
    # Three deviations of a share measured on 500 and on 1000 queries.
    assert (distances <= truth * (1 + 1e-5)).mean() > TARGET_RECALL - 3 * np.sqrt(0.005 / 500 + 0.005 / 1000)


def test_distances_are_those_of_the_rows_found(bank: MemoryBank) -> None:
    queries = blobs(4, 60)
    distances, rows = bank.search(torch.from_numpy(queries), 5)
    direct = np.linalg.norm(queries[:, None].astype(float) - bank.features.numpy()[rows.numpy()].astype(float), axis=2)
    np.testing.assert_allclose(distances.numpy(), direct, rtol=1e-5)
    assert (np.diff(distances.numpy(), axis=1) >= 0).all()
    assert all(len(set(found)) == 5 for found in rows.tolist())


@pytest.mark.parametrize("spread", [1.0, 6.0])
def test_the_farthest_patch_of_an_image_is_exact_even_with_a_careless_index(bank: MemoryBank, spread: float) -> None:
    assert bank.index is not None
    bank.index.effort, effort = 1, bank.index.effort
    queries = np.random.default_rng(5).normal(size=(12, 50, DIM)).astype(np.float32) * spread
    distances, rows = bank.search_images(torch.from_numpy(queries))
    careless = bank.search(torch.from_numpy(queries.reshape(-1, DIM)))[0].reshape(12, 50)
    bank.index.effort = effort
    truth = nearest(bank.features.numpy(), queries.reshape(-1, DIM)).reshape(12, 50)
    np.testing.assert_allclose(distances.max(1).values.numpy(), truth.max(1), rtol=1e-5)
    to_found = np.linalg.norm(queries - bank.features.numpy()[rows.numpy()], axis=2)
    np.testing.assert_allclose(distances.numpy(), to_found, rtol=1e-4)
    assert (distances <= careless * (1 + 1e-5)).all()
    assert (careless.numpy() > truth * 1.001).any(), "nothing was overlooked: this test shows nothing"


def test_rows_left_out_are_never_found_and_the_others_as_well_as_before(bank: MemoryBank) -> None:
    """Queries beside the rows that are left out, so that an index that only forgot them in the end found none."""
    left_out = np.arange(ROWS) % 10 == 0
    rows = bank.features.numpy()
    queries = rows[left_out] + np.float32(0.01)
    distances, found = bank.without(torch.from_numpy(left_out)).search(torch.from_numpy(queries), 2)
    assert not left_out[found.numpy()].any()
    truth = nearest(rows[~left_out], queries)
    first = distances[:, 0].numpy()
    assert (first >= truth * (1 - 1e-5)).all()
    assert (first <= truth * (1 + 1e-5)).mean() > 0.97
    patches = torch.from_numpy(queries.reshape(10, 30, DIM))
    peaks = bank.without(torch.from_numpy(left_out)).search_images(patches)[0].max(1).values
    np.testing.assert_allclose(peaks, truth.reshape(10, 30).max(1), rtol=1e-5)


def test_a_query_whose_cells_were_left_out_is_searched_again() -> None:
    """Alone: the others keep what the index found for them."""
    rows = np.concatenate([blobs(1, ROWS), blobs(11, 60) + 500]).astype(np.float32)
    bank = MemoryBank(torch.from_numpy(rows)).index_by("ivf", torch.from_numpy(blobs(2, 500)))
    assert bank.index is not None
    bank.index.effort = 1
    far = np.arange(len(rows)) >= ROWS
    queries = np.concatenate([rows[ROWS:][:5], blobs(3, 200)])
    distances, found = bank.without(torch.from_numpy(far)).search(torch.from_numpy(queries))
    np.testing.assert_allclose(distances[:5, 0], nearest(rows[~far], queries[:5]), rtol=1e-5)
    assert (found < ROWS).all()
    careless = bank.search(torch.from_numpy(queries[5:]))[0]
    assert torch.equal(distances[5:], careless)


def test_exact_compares_every_row(bank: MemoryBank) -> None:
    queries = np.random.default_rng(6).normal(size=(200, DIM)).astype(np.float32) * 6
    distances = bank.search(torch.from_numpy(queries), exact=True)[0][:, 0].numpy()
    np.testing.assert_allclose(distances, nearest(bank.features.numpy(), queries), rtol=1e-5)


def test_a_restored_index_finds_the_same(bank: MemoryBank) -> None:
    queries = torch.from_numpy(blobs(7, 300))
    again = MemoryBank(bank.features).restore_index(bank.index_state())
    for one, other in zip(bank.search(queries, 3), again.search(queries, 3), strict=True):
        assert torch.equal(one, other)


def test_more_neighbours_than_an_index_finds_are_found_all_the_same(bank: MemoryBank) -> None:
    distances, rows = bank.search(torch.from_numpy(blobs(8, 4)), ROWS)
    assert distances.isfinite().all()
    assert all(sorted(found) == list(range(ROWS)) for found in rows.tolist())


@pytest.mark.parametrize("kind", sorted(INDICES))
def test_few_rows_of_odd_width(kind: str) -> None:
    rows, queries = blobs(9, 40, 7), blobs(10, 30, 7)
    bank = MemoryBank(torch.from_numpy(rows)).index_by(kind, torch.from_numpy(queries))
    np.testing.assert_allclose(bank.search(torch.from_numpy(queries))[0][:, 0], nearest(rows, queries), rtol=1e-5)


def test_auto_is_flat_for_a_small_bank_and_ivf_for_a_large_one() -> None:
    """Large is what has many numbers: few rows of many numbers, too."""
    for dim in (64, 512):
        rows, queries = blobs(1, FLAT_BELOW // dim, dim), blobs(2, 100, dim)
        assert choose_index("auto", rows[1:], queries) is None
        index = choose_index("auto", rows, queries)
        assert index is not None
        assert index.kind == "ivf"


def test_auto_is_flat_where_no_cheap_search_is_good_enough() -> None:
    """Noise in many dimensions has no cells: the nearest neighbour may lie in any of them."""
    noise = np.random.default_rng(0).normal(size=(FLAT_BELOW // 128 + 500, 128)).astype(np.float32)
    assert choose_index("auto", noise[500:], noise[:500]) is None
    assert choose_index("ivf", noise[500:], noise[:500]) is not None


def test_a_bank_of_fewer_rows_than_codes_is_flat() -> None:
    rows, queries = blobs(1, 15, 8), blobs(2, 4, 8)
    assert choose_index("pq", rows, queries) is None
    index = choose_index("pq", blobs(1, 16, 8), queries)
    assert index is not None
    assert index.kind == "pq"


def test_effort_grows_until_the_recall_is_reached() -> None:
    rows, queries = blobs(1, ROWS), blobs(2, 500)
    noise = np.random.default_rng(0).normal(size=(ROWS + 500, DIM)).astype(np.float32)
    easy, hard = INDICES["ivf"](rows), INDICES["ivf"](noise[500:])
    assert tune(easy, rows, queries)
    assert easy.effort < easy.max_effort
    assert not tune(hard, noise[500:], noise[:500])
    assert hard.effort == hard.max_effort
