"""The memory bank: nearest neighbours among remembered patch features."""

from __future__ import annotations

import copy
from typing import Any

import torch

from fastener.models.search_index import SearchIndex, choose_index, restored

_QUERIES_AT_ONCE = 1024  # on a CPU; a GPU takes a whole batch
_PRODUCTS_AT_ONCE = 2**26  # of queries and rows on a GPU: 256 MB
_PRODUCTS_IN_CACHE = 2**22  # on a CPU: 16 MB
_FEW = 8  # neighbours
_NUMBERS_AT_ONCE = 2**24  # of candidates that are compared as plain differences
_MADE_CERTAIN = 8  # patches of an image that are searched exactly at a time


class MemoryBank:
    """Nearest neighbours in Euclidean distance (not squared), higher = farther.

    ``features``: float32 (m, d). Without an index every row is compared, by matrix products on the bank's device: the
    BLAS that FAISS brings along knows no CPU newer than itself, and takes four times as long there as PyTorch's.
    ``|a - b|^2`` is expanded into products, which loses digits for near matches; so the distances of the neighbours
    found are computed again as plain differences.

    ``index_by`` lets an index look at a part of the rows only. A distance is then still the distance to a row, so it is
    never too small; it is too large where a nearer row was overlooked. A GPU needs no index and makes none of a saved
    one, which it hands on.
    """

    def __init__(self, features: torch.Tensor, device: torch.device | str = "cpu"):
        self.features = features.float().contiguous().cpu()
        self.device = torch.device(device)
        self.index: SearchIndex | None = None
        self._index_state: dict[str, Any] | None = None
        self._left_out: torch.Tensor | None = None
        # Distances do not change when both sides move; near the origin the expansion keeps more digits.
        self._centre = self.features.mean(0)
        self._centred = (self.features - self._centre).to(self.device)
        self._squared = self._centred.square().sum(1)

    def __len__(self) -> int:
        return len(self.features) - (0 if self._left_out is None else int(self._left_out.sum()))

    def without(self, rows: torch.Tensor) -> MemoryBank:
        """This bank as if it lacked the marked ``rows``, bool (m,): no search finds them. Those left keep their
        numbers."""
        other = copy.copy(self)
        other._left_out = rows.to(self.device)
        return other

    def index_by(self, kind: str, queries: torch.Tensor) -> MemoryBank:
        """Search by an index of ``kind`` (auto, flat, ivf, hnsw, pq) from now on; returns the bank.

        ``queries`` (n, d), patches that are not in the bank, measure how much effort the index needs.
        """
        rows, sample = self._centred.cpu().numpy(), (queries.float().cpu() - self._centre).numpy()
        self.index = choose_index(kind, rows, sample)
        self._index_state = None if self.index is None else self.index.state()
        return self

    def index_state(self) -> dict[str, Any] | None:
        """What ``restore_index`` takes back; None = flat."""
        return self._index_state

    def restore_index(self, state: dict[str, Any] | None) -> MemoryBank:
        """Search by the index that ``index_state`` described; returns the bank."""
        self._index_state = state
        if self.device.type == "cpu":
            self.index = restored(state, self._centred.numpy())
        return self

    def rows(self, numbers: torch.Tensor) -> torch.Tensor:
        """The rows of these ``numbers``, int64 of any shape (...) -> float32 (..., d), on the same device."""
        return self.features[numbers.cpu()].to(numbers.device)

    def search(self, queries: torch.Tensor, k: int = 1, exact: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, d) -> distances float32 (n, k) ascending and bank rows int64 (n, k), on the queries' device.

        ``k`` is cut to the size of the bank. ``exact`` compares every row, whatever index there is.
        """
        k = min(k, len(self))
        at_once = _QUERIES_AT_ONCE if self.device.type == "cpu" else max(1, len(queries))
        parts = [self._search(chunk, k, exact) for chunk in queries.float().split(at_once)]
        return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])

    def search_images(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Patches (n, p, d) of n images -> distance float32 (n, p) and bank row int64 (n, p) of each one's neighbour.

        The largest distance of each image is exact, with an index as without. An index errs upwards only. So the
        patches that seem farthest are searched exactly, until the farthest of them lies beyond what all others could
        reach.
        """
        n, p, d = features.shape
        distances, rows = (found.reshape(n, p) for found in self.search(features.reshape(-1, d)))
        if self.index is None or self.device.type != "cpu":
            return distances, rows
        certain = torch.zeros_like(distances, dtype=torch.bool)
        while len(open_ := (~certain.gather(1, distances.argmax(1, keepdim=True))[:, 0]).nonzero()[:, 0]):
            image = open_[:, None]
            patch = distances[open_].masked_fill(certain[open_], -1).topk(min(_MADE_CERTAIN, p), dim=1).indices
            exact = self.search(features[image, patch].reshape(-1, d), exact=True)
            distances[image, patch], rows[image, patch] = (found.reshape(patch.shape) for found in exact)
            certain[image, patch] = True
        return distances, rows

    def _search(self, queries: torch.Tensor, k: int, exact: bool) -> tuple[torch.Tensor, torch.Tensor]:
        centred = (queries.to(self.device) - self._centre.to(self.device)).contiguous()
        candidates = self._candidates(centred, k, exact)
        differences = self._squared_distances(centred, candidates)
        order = differences.masked_fill_(candidates < 0, torch.inf).argsort(dim=1, stable=True)[:, :k]
        distances, rows = differences.gather(1, order).sqrt(), candidates.gather(1, order)
        short = (rows < 0).any(1)
        if short.any():  # an index found fewer than k
            distances[short], rows[short] = self._search(queries[short], k, exact=True)
        return distances.to(queries.device), rows.to(queries.device)

    def _candidates(self, centred: torch.Tensor, k: int, exact: bool) -> torch.Tensor:
        if self.index is None or exact or self.device.type != "cpu":
            return self._by_products(centred, k)
        left_out = None if self._left_out is None else self._left_out.numpy()
        return torch.from_numpy(self.index.candidates(centred.numpy(), k, left_out))

    def _by_products(self, centred: torch.Tensor, k: int) -> torch.Tensor:
        """Tile by tile of the rows, of which the best are kept: memory does not grow with the bank."""
        at_once = _PRODUCTS_IN_CACHE if self.device.type == "cpu" else _PRODUCTS_AT_ONCE
        tile = max(1, at_once // max(1, len(centred)))
        best = centred.new_empty((len(centred), 0))
        rows = torch.empty_like(best, dtype=torch.int64)
        for at in range(0, len(self._centred), tile):
            compared = torch.addmm(self._squared[at : at + tile], centred, self._centred[at : at + tile].T, alpha=-2)
            if self._left_out is not None:
                compared.masked_fill_(self._left_out[at : at + tile], torch.inf)
            values, numbers = _least(compared, k)
            best, rows = torch.cat([best, values], 1), torch.cat([rows, numbers + at], 1)
            if best.shape[1] > k:
                best, order = _least(best, k)
                rows = rows.gather(1, order)
        return rows

    def _squared_distances(self, centred: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        """Of each query (n, d) to its candidates (n, c), as plain differences; of some queries at a time."""
        at_once = max(1, _NUMBERS_AT_ONCE // max(1, candidates.shape[1] * centred.shape[1]))
        pairs = zip(centred.split(at_once), candidates.clamp_min(0).split(at_once), strict=True)
        return torch.cat([(self._centred[rows] - some[:, None]).square().sum(2) for some, rows in pairs])


def _least(values: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The least ``k`` or fewer of each row of ``values`` (n, m), which are overwritten, and their columns, int64."""
    k = min(k, values.shape[1])
    if values.device.type != "cpu" or k > _FEW:
        return values.topk(k, largest=False)
    found = []
    for _ in range(k):  # a pass of NumPy's takes a tenth of the time of torch.topk
        columns = torch.from_numpy(values.numpy().argmin(1))[:, None]
        found.append((values.gather(1, columns), columns))
        values.scatter_(1, columns, torch.inf)
    return torch.cat([least for least, _ in found], 1), torch.cat([columns for _, columns in found], 1)
