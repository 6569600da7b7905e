"""Which rows of a memory bank come into question for a query: FAISS indices that look at a part of the bank only.

| kind | how | one knob, ``effort`` | source |
|---|---|---|---|
| ivf | k-means cells; the nearest few are searched | cells searched | Sivic and Zisserman 2003 |
| hnsw | walk through a graph of neighbours | length of the candidate list | Malkov and Yashunin 2018 |
| pq | 4-bit product quantiser; the best few are compared again | rows compared again | André et al. 2015 (fast scan) |

A bank without such an index compares every row ("flat"). An index is made of the centred rows of a bank; what it
learned beyond them is ``codebook``, a plain array, so that a model file holds no serialised native object.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import faiss
import numpy as np

FLAT_BELOW = 2**21  # numbers, 8,192 rows of 256; comparing all of fewer takes less than what an index costs
TARGET_RECALL = 0.995  # of the first neighbour
_FEWEST_ROWS = 16  # a codebook of 4 bits is learned from no fewer
_SEED = 1234


class SearchIndex(ABC):
    """Candidates among ``rows``, float32 (m, d). Raises RuntimeError if ``codebook`` does not fit them."""

    kind: ClassVar[str]
    effort = 1

    def __init__(self, rows: np.ndarray, codebook: Any = None):
        # An array, or a tensor of a model file.
        self.codebook: np.ndarray | None = None if codebook is None else np.asarray(codebook)
        self._index = self._build(rows)

    @abstractmethod
    def _build(self, rows: np.ndarray) -> Any:
        """The FAISS index; learns ``codebook`` where none was given."""

    @abstractmethod
    def candidates(self, queries: np.ndarray, k: int, left_out: np.ndarray | None = None) -> np.ndarray:
        """Queries float32 (n, d) -> rows int64 (n, at least k), not sorted; -1 stands where fewer were found.

        Rows marked in ``left_out``, bool (m,), are not among them.
        """

    @property
    @abstractmethod
    def max_effort(self) -> int:
        """More than this, and comparing every row is no slower."""

    def state(self) -> dict[str, Any]:
        """Plain values and arrays from which ``restored`` makes the same index."""
        return {"kind": self.kind, "effort": self.effort, "codebook": self.codebook}


class CellIndex(SearchIndex):
    """Inverted file: every row lies in the cell of its nearest centroid."""

    kind = "ivf"

    def _build(self, rows: np.ndarray) -> Any:
        if self.codebook is None:
            # sqrt(m) cells or some more balance the search for cells, one matrix product, with that in them, which is
            # slower; k-means wants 39 rows a cell.
            cells = max(1, min(2 ** math.ceil(math.log2(len(rows)) / 2), len(rows) // 39))
            means = faiss.Kmeans(rows.shape[1], cells, niter=10, seed=_SEED, min_points_per_centroid=1)
            means.train(rows)
            self.codebook = np.array(means.centroids)
        centroids = self.codebook
        self._quantiser = faiss.IndexFlatL2(centroids.shape[1])
        self._quantiser.add(centroids)
        index = faiss.IndexIVFFlat(self._quantiser, centroids.shape[1], len(centroids))
        index.is_trained = True
        index.add(rows)
        return index

    @property
    def max_effort(self) -> int:
        return max(1, int(self._index.nlist) // 4)

    def candidates(self, queries: np.ndarray, k: int, left_out: np.ndarray | None = None) -> np.ndarray:
        how = faiss.SearchParametersIVF(nprobe=self.effort, **_selection(left_out))
        return np.asarray(self._index.search(queries, k, params=how)[1])


class GraphIndex(SearchIndex):
    """Hierarchical navigable small world graph; built by one thread, as its edges depend on the order of arrival."""

    kind = "hnsw"
    _EDGES = 32

    def _build(self, rows: np.ndarray) -> Any:
        index = faiss.IndexHNSWFlat(rows.shape[1], self._EDGES)
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        try:
            index.add(rows)
        finally:
            faiss.omp_set_num_threads(threads)
        return index

    @property
    def max_effort(self) -> int:
        return 256

    def candidates(self, queries: np.ndarray, k: int, left_out: np.ndarray | None = None) -> np.ndarray:
        how = faiss.SearchParametersHNSW(efSearch=max(self.effort, k), **_selection(left_out))
        return np.asarray(self._index.search(queries, k, params=how)[1])


class QuantisedIndex(SearchIndex):
    """Product quantiser of two dimensions a code, 4 bits each: an eighth of the bytes, scanned in registers."""

    kind = "pq"
    _BITS = 4
    _TRAINING_ROWS = 16384

    def _build(self, rows: np.ndarray) -> Any:
        rows = self._even(rows)
        index = faiss.IndexPQFastScan(rows.shape[1], rows.shape[1] // 2, self._BITS)
        if self.codebook is None:
            index.train(rows[:: -(-len(rows) // self._TRAINING_ROWS)])
            self.codebook = faiss.vector_to_array(index.pq.centroids)
        else:
            faiss.copy_array_to_vector(self.codebook, index.pq.centroids)
            index.is_trained = True
        index.add(rows)
        return index

    @property
    def max_effort(self) -> int:
        return 256

    def candidates(self, queries: np.ndarray, k: int, left_out: np.ndarray | None = None) -> np.ndarray:
        # The fast scan leaves out nothing by itself: enough are asked for that the others remain.
        more = 0 if left_out is None else int(left_out.sum())
        count = min(max(self.effort, k) + more, self._index.ntotal)
        found = np.asarray(self._index.search(self._even(queries), count)[1])
        if left_out is not None:
            found[left_out[found]] = -1  # of an index -1, too, which stays what it is
        return found

    @staticmethod
    def _even(rows: np.ndarray) -> np.ndarray:
        """A column of zeros more where their number is odd: distances stay."""
        return np.pad(rows, ((0, 0), (0, rows.shape[1] % 2)))


def _selection(left_out: np.ndarray | None) -> dict[str, Any]:
    """The argument by which a FAISS search passes over rows."""
    return {} if left_out is None else {"sel": faiss.IDSelectorBitmap(np.packbits(~left_out, bitorder="little"))}


INDICES: dict[str, type[SearchIndex]] = {index.kind: index for index in (CellIndex, GraphIndex, QuantisedIndex)}


def choose_index(kind: str, rows: np.ndarray, queries: np.ndarray) -> SearchIndex | None:
    """An index of ``kind`` over the centred ``rows`` (m, d), with the least effort that reaches the target recall.

    ``queries`` (n, d), centred likewise and none of them a row, measure the recall. None, which is flat, is the answer
    to ``flat``, where the bank has too few rows, and to ``auto`` where the bank is small or no cheap effort is
    good enough. ``auto`` means ivf: of the three it is built fastest, and far queries, which anomalies are, cost it the
    least recall.
    """
    if kind == "flat" or len(rows) < _FEWEST_ROWS or (kind == "auto" and rows.size < FLAT_BELOW):
        return None
    index = INDICES["ivf" if kind == "auto" else kind](rows)
    reached = tune(index, rows, queries)
    return None if kind == "auto" and not reached else index


def tune(index: SearchIndex, rows: np.ndarray, queries: np.ndarray) -> bool:
    """Raise the effort of ``index`` by half until its recall of the first neighbour is good; whether it became so."""
    # As plain differences: those of products are rounded by more than neighbours differ.
    nearest = np.linalg.norm(rows[faiss.knn(queries, rows, 1)[1][:, 0]] - queries, axis=1)
    index.effort = min(4, index.max_effort)
    while not (reached := bool(_recall(index, rows, queries, nearest) >= TARGET_RECALL)):
        if index.effort >= index.max_effort:
            break
        index.effort = min(index.effort * 3 // 2, index.max_effort)
    return reached


def _recall(index: SearchIndex, rows: np.ndarray, queries: np.ndarray, nearest: np.ndarray) -> float:
    """Share of ``queries`` that find a row as near as the nearest."""
    found = index.candidates(queries, 1)
    distances = np.linalg.norm(rows[found] - queries[:, None], axis=2)
    distances[found < 0] = np.inf
    return float((distances.min(1) <= nearest * (1 + 1e-4) + 1e-6).mean())


def restored(state: dict[str, Any] | None, rows: np.ndarray) -> SearchIndex | None:
    """The index that ``state`` was taken from, over the same centred ``rows``; None stays flat."""
    if state is None:
        return None
    index = INDICES[state["kind"]](rows, state["codebook"])
    index.effort = state["effort"]
    return index
