"""The memory bank: nearest neighbours among remembered patch features."""

from __future__ import annotations

import faiss
import numpy as np
import torch


class MemoryBank:
    """Exact nearest neighbours in Euclidean distance (not squared), higher = farther.

    ``features``: float32 (m, d). On a CPU a flat FAISS index searches; queries on a GPU are searched there by matrix
    products, so that features never travel. Both expand ``|a - b|^2`` into products, which loses digits for near
    matches; so the distances of the neighbours found are computed again as plain differences.
    """

    _QUERIES_AT_ONCE = 4096

    def __init__(self, features: torch.Tensor, device: torch.device | str = "cpu"):
        self.features = features.float().contiguous().cpu()
        self.device = torch.device(device)
        # Distances do not change when both sides move; near the origin the expansion keeps more digits.
        self._centre = self.features.mean(0)
        centred = self.features - self._centre
        if self.device.type == "cpu":
            self._index = faiss.IndexFlatL2(self.features.shape[1])
            self._index.add(centred.numpy())
        else:
            self._on_device = centred.to(self.device)
            self._squared = self._on_device.square().sum(1)

    def __len__(self) -> int:
        return len(self.features)

    def search(self, queries: torch.Tensor, k: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, d) -> distances float32 (n, k) ascending and bank rows int64 (n, k), on the queries' device.

        ``k`` is cut to the size of the bank.
        """
        k = min(k, len(self))
        parts = [self._search(chunk, k) for chunk in queries.float().split(self._QUERIES_AT_ONCE)]
        return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])

    def _search(self, queries: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        centred = queries - self._centre.to(queries.device)
        if self.device.type == "cpu":
            rows = torch.from_numpy(self._index.search(np.ascontiguousarray(centred.cpu().numpy()), k)[1])
            candidates = self.features[rows] - self._centre
        else:
            products = self._squared - 2 * centred.to(self.device) @ self._on_device.T
            rows = products.topk(k, largest=False).indices
            candidates = self._on_device[rows]
        exact = (candidates.to(queries.device) - centred[:, None]).square().sum(2).sqrt()
        order = exact.argsort(dim=1, stable=True)
        return exact.gather(1, order), rows.to(queries.device).gather(1, order)
