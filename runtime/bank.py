"""The memory bank in NumPy, for machines without torch; models/memory_bank.py learns it and documents it."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastener.models.search_index import restored

_PRODUCTS_AT_ONCE = 2**22  # of queries and rows: 16 MB
_NUMBERS_AT_ONCE = 2**24  # of candidates that are compared as plain differences
_MADE_CERTAIN = 8  # patches of an image that are searched exactly at a time


class Bank:
    """Nearest neighbours among rows in Euclidean distance, as ``MemoryBank`` finds them on a CPU.

    Parameters
    ----------
    features : float16 or float32 (m, d)
        The rows.
    index : dict, optional
        Description of a search index, see models/search_index.py; None compares every row.
    """

    def __init__(self, features: np.ndarray, index: dict[str, Any] | None = None):
        rows = np.asarray(features, np.float32)
        # Distances do not change when both sides move; near the origin products keep more digits.
        self._centre = rows.mean(0)
        self._rows = np.ascontiguousarray(rows - self._centre)
        self._squared_rows = np.einsum("md,md->m", self._rows, self._rows)
        self._index = restored(index, self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, number: int) -> np.ndarray:
        """Return the row of this ``number``, (d,)."""
        return np.asarray(self._rows[number] + self._centre)

    def search(self, queries: np.ndarray, k: int = 1, *, exact: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Queries float32 (n, d) -> distances float32 (n, k), ascending, and rows int64 (n, k).

        ``k`` is cut to the size of the bank. ``exact`` compares every row, whatever index there is.
        """
        k = min(k, len(self))
        centred = np.ascontiguousarray(queries - self._centre)
        index = None if exact else self._index
        found = self._by_products(centred, k) if index is None else index.candidates(centred, k)
        squared = np.where(found < 0, np.inf, self._squared(centred, found))
        order = squared.argsort(axis=1, kind="stable")[:, :k]
        distances = np.sqrt(np.take_along_axis(squared, order, 1)).astype(np.float32)
        rows = np.take_along_axis(found, order, 1)
        short = (rows < 0).any(1)
        if short.any():  # an index found fewer than k
            distances[short], rows[short] = self.search(queries[short], k, exact=True)
        return distances, rows

    def search_images(self, patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Patches (n, p, d) of n images -> distance float32 (n, p) and row int64 (n, p) of each one's neighbour.

        The largest distance of each image is exact, with an index as without: see ``MemoryBank.search_images``.
        """
        n, p, d = patches.shape
        distances, rows = (found.reshape(n, p) for found in self.search(patches.reshape(-1, d)))
        if self._index is None:
            return distances, rows
        for image in range(n):
            certain = np.zeros(p, bool)
            while not certain[distances[image].argmax()]:
                open_ = np.where(certain, -1, distances[image])
                patch = np.argsort(-open_, kind="stable")[:_MADE_CERTAIN]
                exact = self.search(patches[image, patch], exact=True)
                distances[image, patch], rows[image, patch] = (found[:, 0] for found in exact)
                certain[patch] = True
        return distances, rows

    def _by_products(self, centred: np.ndarray, k: int) -> np.ndarray:
        """Find the nearest rows of queries (n, d) by matrix products, of some queries at a time: int64 (n, k)."""
        at_once = max(1, _PRODUCTS_AT_ONCE // len(self))
        parts = []
        for at in range(0, len(centred), at_once):
            compared = (-2 * centred[at : at + at_once]) @ self._rows.T
            compared += self._squared_rows
            parts.append(compared.argmin(1)[:, None] if k == 1 else np.argpartition(compared, k - 1, axis=1)[:, :k])
        return np.concatenate(parts)

    def _squared(self, centred: np.ndarray, found: np.ndarray) -> np.ndarray:
        """Square the distance of each query (n, d) to its candidates (n, c), as plain differences."""
        at_once = max(1, _NUMBERS_AT_ONCE // max(1, found.shape[1] * centred.shape[1]))
        parts = []
        for at in range(0, len(centred), at_once):
            difference = self._rows[found[at : at + at_once]]
            difference -= centred[at : at + at_once, None]
            parts.append(np.einsum("ncd,ncd->nc", difference, difference))
        return np.concatenate(parts)
