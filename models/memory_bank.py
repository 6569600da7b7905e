"""The memory bank: nearest neighbours among remembered patch features."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import torch

from models.search_index import SearchIndex, choose_index, restored

_QUERIES_AT_ONCE = 1024
_FEW = 16  # queries; FAISS goes over the rows for each of so few, a product once for all
_MADE_CERTAIN = 8  # patches of an image that are searched exactly at a time


class MemoryBank:
    """Nearest neighbours in Euclidean distance (not squared), higher = farther.

    ``features``: float32 (m, d). Without an index every row is compared: by FAISS on a CPU; queries on a GPU are
    searched there by matrix products, so that features never travel. Both expand ``|a - b|^2`` into products, which
    loses digits for near matches; so the distances of the neighbours found are computed again as plain differences.

    ``index_by`` lets an index look at a part of the rows only. A distance is then still the distance to a row, so it is
    never too small; it is too large where a nearer row was overlooked. A GPU needs no index and uses none.
    """

    def __init__(self, features: torch.Tensor, device: torch.device | str = "cpu"):
        self.features = features.float().contiguous().cpu()
        self.device = torch.device(device)
        self.index: SearchIndex | None = None
        # Distances do not change when both sides move; near the origin the expansion keeps more digits.
        self._centre = self.features.mean(0)
        self._centred = (self.features - self._centre).to(self.device)
        self._squared = self._centred.square().sum(1)

    def __len__(self) -> int:
        return len(self.features)

    def index_by(self, kind: str, queries: torch.Tensor) -> MemoryBank:
        """Search by an index of ``kind`` (auto, flat, ivf, hnsw, pq) from now on; returns the bank.

        ``queries`` (n, d), patches that are not in the bank, measure how much effort the index needs.
        """
        rows, sample = self._centred.cpu().numpy(), (queries.float().cpu() - self._centre).numpy()
        self.index = choose_index(kind, rows, sample)
        return self

    def index_state(self) -> dict[str, Any] | None:
        """What ``restore_index`` takes back; None = flat."""
        return None if self.index is None else self.index.state()

    def restore_index(self, state: dict[str, Any] | None) -> MemoryBank:
        """Search by the index that ``index_state`` described; returns the bank."""
        self.index = restored(state, self._centred.cpu().numpy())
        return self

    def search(self, queries: torch.Tensor, k: int = 1, exact: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, d) -> distances float32 (n, k) ascending and bank rows int64 (n, k), on the queries' device.

        ``k`` is cut to the size of the bank. ``exact`` compares every row, whatever index there is.
        """
        k = min(k, len(self))
        parts = [self._search(chunk, k, exact) for chunk in queries.float().split(_QUERIES_AT_ONCE)]
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
        differences = (self._centred[candidates.clamp_min(0)] - centred[:, None]).square().sum(2)
        order = differences.masked_fill_(candidates < 0, torch.inf).argsort(dim=1, stable=True)[:, :k]
        distances, rows = differences.gather(1, order).sqrt(), candidates.gather(1, order)
        if not exact and (rows < 0).any():  # an index found fewer than k
            return self._search(queries, k, exact=True)
        return distances.to(queries.device), rows.to(queries.device)

    def _candidates(self, centred: torch.Tensor, k: int, exact: bool) -> torch.Tensor:
        if self.device.type != "cpu":
            return (self._squared - 2 * centred @ self._centred.T).topk(k, largest=False).indices
        if self.index is not None and not exact:
            return torch.from_numpy(self.index.candidates(centred.numpy(), k))
        if len(centred) <= _FEW:
            compared = self._squared[:, None] - 2 * (self._centred @ centred.T)
            return compared.T.contiguous().topk(k, largest=False).indices
        return torch.from_numpy(np.asarray(faiss.knn(centred.numpy(), self._centred.numpy(), k)[1]))
