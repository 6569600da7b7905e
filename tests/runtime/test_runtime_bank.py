"""The bank in NumPy against the one in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fastener.models.memory_bank import MemoryBank
from fastener.runtime.bank import Bank

RNG = np.random.default_rng(5)
ROWS = RNG.standard_normal((400, 12)).astype(np.float32)
QUERIES = RNG.standard_normal((60, 12)).astype(np.float32)


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw", "pq"])
def test_it_finds_what_the_bank_in_torch_finds(kind: str) -> None:
    theirs = MemoryBank(torch.from_numpy(ROWS)).index_by(kind, torch.from_numpy(QUERIES))
    state = theirs.index_state()
    ours = Bank(ROWS, state)
    theirs = MemoryBank(torch.from_numpy(ROWS)).restore_index(state)
    for k in (1, 5):
        distances, rows = theirs.search(torch.from_numpy(QUERIES), k)
        found = ours.search(QUERIES, k)
        np.testing.assert_array_equal(found[1], rows)
        np.testing.assert_allclose(found[0], distances, rtol=1e-5)
    patches = QUERIES.reshape(3, 20, 12)
    np.testing.assert_allclose(
        ours.search_images(patches)[0], theirs.search_images(torch.from_numpy(patches))[0], rtol=1e-5
    )


def test_more_neighbours_than_rows_are_all_rows() -> None:
    distances, rows = Bank(ROWS[:4].astype(np.float16)).search(QUERIES[:2], 9)
    expected = np.linalg.norm(QUERIES[:2, None] - ROWS[:4].astype(np.float16).astype(np.float32), axis=2)
    np.testing.assert_allclose(distances, np.sort(expected, axis=1), rtol=1e-5)
    np.testing.assert_array_equal(rows, np.argsort(expected, axis=1))
