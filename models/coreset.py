"""Greedy k-centre coreset: the patches a memory bank keeps, chosen so that every other patch lies near one of them.

Source: Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985; used for PatchCore by Roth et al.,
"Towards Total Recall in Industrial Anomaly Detection", CVPR 2022, algorithm 1.

The textbook loop makes one pass over all features per pick. Here the farthest few thousand rows are taken as a block,
their mutual distances come from one matrix product, and picks are made inside the block for as long as the best row in
it is at least as far as the best one outside. Outside distances are upper bounds, since a pick can only lower them, so
these are the picks of the textbook loop. One further matrix product then brings every row up to date.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from fastener.models.progress import Progress, no_progress

Features = torch.Tensor | np.ndarray

BLOCK = 2048  # rows of the first block
SMALLEST_BLOCK, LARGEST_BLOCK = 256, 4096
PASS = 64  # reading a row in an update costs as much as its distances to so many centres
CHUNK = 2048  # rows brought up to date at once on a CPU; a GPU wants more
STEPS = 100  # of the progress bar
# Float32 leaves squared distances an error near 1e-6 of the largest squared norm. Once the farthest row is nearer than
# this share of that norm, distances are computed again in float64 and kept so.
SINGLE_PRECISION_LIMIT = 1e-3
REFINED = 64  # farthest rows whose distance is computed again, exactly, for the cover radius
PICKED = -1.0  # stands for the distance of a row that must not be picked (again)


@dataclass(frozen=True)
class Coreset:
    """The picked rows and how well they cover the others.

    ``indices``: int64 (k,), in the order picked. ``cover_radius``: largest L2 distance of a row to its nearest centre.
    ``n_updates``: passes over all features that brought distances up to date.
    """

    indices: np.ndarray
    cover_radius: float
    n_updates: int


@torch.inference_mode()
def greedy_coreset(
    features: Features,
    k: int,
    *,
    centres: Features | None = None,
    first: int = 0,
    block: int | None = None,
    device: torch.device | str = "cpu",
    progress: Progress = no_progress,
) -> Coreset:
    """Pick ``k`` rows of ``features``, each the farthest from all centres so far.

    Ties go to the lowest index; the result is the same on every run on one machine. Rows whose squared distances differ
    by less than rounding (about 1e-6 of the largest squared norm) may change places with block size, device or threads.
    No row is picked twice: when all that are left coincide with a centre (nearer than about 1e-6 of their norm), they
    follow by ascending index.

    Args:
        features: (n, d), float32 or float16; a tensor, an array or an array mapped from disk. Read in chunks, so half
            precision and mapped arrays never exist as a whole in float32.
        k: rows to pick, 1 to n.
        centres: (m, d), centres chosen before, such as a memory bank that grows. Picks continue from them: ``first`` is
            not used, ``k`` counts new picks, and the cover radius is to centres and picks together.
        first: the first row picked.
        block: rows whose mutual distances are held at once (4 * block**2 bytes); for speed alone. None chooses it from
            round to round by how many picks it brought, which no clock can change.
        device: where the matrix products run.
        progress: wraps 100 steps of equal work. Late picks cost less than early ones, so picks would tell of too long.

    Raises:
        ValueError: k, first, block, a shape or a type is out of range; a value is not finite, or too large to square.
    """
    _check(features, k, centres, first, block)
    rows = _CentredRows(features, torch.device(device))
    nearest = _NearestCentre(rows, centres, first)
    for _ in progress(_steps(_rounds(nearest, k, block)), STEPS, "coreset"):
        pass
    return Coreset(np.array(nearest.picks, dtype=np.int64), nearest.cover_radius(), nearest.n_updates)


@torch.inference_mode()
def cover_radius(features: Features, centres: Features, device: torch.device | str = "cpu") -> float:
    """Largest L2 distance of a row of ``features`` (n, d) to the nearest of ``centres`` (m, d), as in ``Coreset``."""
    _check(features, 1, centres, 0, None)
    return _NearestCentre(_CentredRows(features, torch.device(device)), centres, 0).cover_radius()


def _check(features: Features, k: int, centres: Features | None, first: int, block: int | None) -> None:
    for name, array in (("features", features), ("centres", centres)):
        if array is None:
            continue
        if array.ndim != 2 or 0 in array.shape:
            raise ValueError(f"{name}: expected shape (rows, dimensions), got {tuple(array.shape)}")
        if str(array.dtype).removeprefix("torch.") not in ("float32", "float16"):
            raise ValueError(f"{name}: expected float32 or float16, got {array.dtype}")
    if centres is not None and centres.shape[1] != features.shape[1]:
        raise ValueError(f"centres have {centres.shape[1]} dimensions, features {features.shape[1]}")
    n = features.shape[0]
    if not 1 <= k <= n:
        raise ValueError(f"k must lie in 1 to {n}, got {k}")
    if not 0 <= first < n:
        raise ValueError(f"first must lie in 0 to {n - 1}, got {first}")
    if block is not None and block < 1:
        raise ValueError(f"block must be at least 1, got {block}")


class _CentredRows:
    """The features minus their mean, in chunks of float32 or float64 on the device.

    The mean changes no distance and takes most of the cancellation out of |a|^2 + |b|^2 - 2ab.
    """

    def __init__(self, features: Features, device: torch.device) -> None:
        self.features = features
        self.device = device
        self.length, self.dim = int(features.shape[0]), int(features.shape[1])
        self.chunk = min(self.length, CHUNK if device.type == "cpu" else 16 * CHUNK)
        self._staging: torch.Tensor | None = None
        if isinstance(features, np.ndarray):
            self._staging = torch.empty((self.chunk, self.dim), dtype=getattr(torch, str(features.dtype)))
        self._move_if_it_fits()
        self.set_precision(torch.float32)
        self.mean = torch.zeros(self.dim, dtype=torch.float32, device=device)
        total = torch.zeros(self.dim, dtype=torch.float64, device=device)
        for _, chunk in self.chunks():
            total += chunk.sum(0, dtype=torch.float64)
        self.mean = (total / self.length).float()

    def set_precision(self, dtype: torch.dtype) -> None:
        """Deliver rows in ``dtype`` from now on."""
        self.dtype = dtype
        self._buffer = torch.empty((self.chunk, self.dim), dtype=dtype, device=self.device)

    def chunks(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """All rows in order; each chunk is overwritten by the next."""
        for where in self._spans():
            chunk = self._buffer[: where.stop - where.start]
            yield where, chunk.copy_(self._raw(where)).sub_(self.mean)

    def gather(self, indices: np.ndarray) -> torch.Tensor:
        """The rows at ``indices``, (len(indices), d)."""
        if isinstance(self.features, np.ndarray):
            return self.centred(self.features[indices])
        return self.centred(self.features[torch.from_numpy(indices).to(self.features.device)])

    def centred(self, rows: Features) -> torch.Tensor:
        """A copy of ``rows`` in the frame of the centred features."""
        copied = torch.from_numpy(np.array(rows)) if isinstance(rows, np.ndarray) else rows
        return copied.to(self.device, self.dtype) - self.mean

    def _spans(self) -> Iterator[slice]:
        for start in range(0, self.length, self.chunk):
            yield slice(start, min(start + self.chunk, self.length))

    def _raw(self, where: slice) -> torch.Tensor:
        if isinstance(self.features, torch.Tensor):
            return self.features[where]
        assert self._staging is not None
        staged = self._staging[: where.stop - where.start]
        np.copyto(staged.numpy(), self.features[where])
        return staged

    def _move_if_it_fits(self) -> None:
        """Hold the features on a GPU, in their own precision, when half of its free memory takes them."""
        if self.device.type != "cuda":
            return
        like = self._raw(slice(0, 1))
        free, _ = torch.cuda.mem_get_info(self.device)
        if like.is_cuda or self.length * self.dim * like.itemsize > free // 2:
            return
        moved = torch.empty((self.length, self.dim), dtype=like.dtype, device=self.device)
        for where in self._spans():
            moved[where] = self._raw(where)
        self.features = moved


class _NearestCentre:
    """Squared distance of every row to its nearest centre, and the centres themselves."""

    def __init__(self, rows: _CentredRows, centres: Features | None, first: int) -> None:
        self.rows = rows
        self.n_updates = 0
        self.picks: list[int] = [] if centres is not None else [first]
        self._before = centres
        self._columns = 1024 if rows.device.type == "cpu" else 4096
        self._restart()

    def add(self, picks: list[int]) -> None:
        """Make rows ``picks`` centres and bring all distances up to date."""
        self.picks += picks
        self._update(self.rows.gather(np.array(picks)))

    def ensure_precision(self) -> None:
        """Go over to float64 when the farthest row has come too near for float32."""
        farthest = float(self.squared.max())
        if self.rows.dtype == torch.float32 and PICKED < farthest <= self.resolution:
            self.rows.set_precision(torch.float64)
            self._restart()

    def cover_radius(self) -> float:
        """Largest distance of a row to its nearest centre, by direct differences in float64."""
        farthest = torch.topk(self.squared, min(REFINED, self.rows.length)).indices.cpu().numpy()
        self.rows.set_precision(torch.float64)
        far = self.rows.gather(farthest)
        nearest = torch.full_like(far[:, 0], torch.inf)
        for centres in self._centres():
            direct = torch.cdist(far, centres, compute_mode="donot_use_mm_for_euclid_dist")
            torch.minimum(nearest, direct.amin(1), out=nearest)
        return float(nearest.max())

    def _restart(self) -> None:
        # In one piece: small tensors that stay, between large ones that go, keep the heap from being used again.
        self.norms = torch.empty(self.rows.length, dtype=self.rows.dtype, device=self.rows.device)
        for where, chunk in self.rows.chunks():
            self.norms[where] = chunk.square().sum(1)
        centres = torch.cat(list(self._centres()))
        if not (torch.isfinite(self.norms).all() and torch.isfinite(centres.square().sum(1)).all()):
            raise ValueError("features or centres hold values that are not finite, or too large to square")
        single = self.rows.dtype == torch.float32
        self.resolution = SINGLE_PRECISION_LIMIT * float(self.norms.max()) if single else PICKED
        # Worst rounding of |a|^2 + |b|^2 - 2ab for a = b; in float32 no such pair is ever compared.
        self.rounding = self.norms * (0.0 if single else 2 * self.rows.dim * torch.finfo(torch.float64).eps)
        self.squared = torch.full_like(self.norms, torch.inf)
        self._update(centres)

    def _centres(self) -> Iterator[torch.Tensor]:
        """All centres in order, some at a time."""
        picks = np.array(self.picks, dtype=np.int64)
        if self._before is not None:
            yield from (
                self.rows.centred(self._before[at : at + self._columns])
                for at in range(0, len(self._before), self._columns)
            )
        yield from (self.rows.gather(picks[at : at + self._columns]) for at in range(0, len(picks), self._columns))

    def _update(self, centres: torch.Tensor) -> None:
        pieces = [(piece, piece.square().sum(1)) for piece in centres.split(self._columns)]
        buffer = torch.empty(self.rows.chunk * len(pieces[0][0]), dtype=self.rows.dtype, device=self.rows.device)
        for where, chunk in self.rows.chunks():
            squared = self.squared[where]
            for piece, norms in pieces:
                product = buffer[: len(chunk) * len(piece)].view(len(chunk), len(piece))
                torch.addmm(norms, chunk, piece.T, alpha=-2, out=product)
                new = product.amin(1) + self.norms[where]
                torch.minimum(squared, new.masked_fill_(new <= self.rounding[where], 0), out=squared)
        self.squared[torch.tensor(self.picks, dtype=torch.int64, device=self.rows.device)] = PICKED
        self.n_updates += 1


def _rounds(nearest: _NearestCentre, k: int, block: int | None) -> Iterator[float]:
    """Pick until there are ``k``, block by block; the share of all work that is done after each round.

    Work is counted in distances. That of the rounds to come is taken to be as dear per pick as in the last one.
    """
    n = nearest.rows.length
    size, done = block or BLOCK, n
    while left := k - len(nearest.picks):
        nearest.ensure_precision()
        picks, of_half = _pick_block(nearest, left, size)
        nearest.add(picks)
        done += _overhead(n, size) + n * len(picks)
        yield done / (done + (left - len(picks)) * (n + _overhead(n, size) / len(picks)))
        if block is None:
            size = _next_size(n, size, len(picks), of_half)


def _overhead(n: int, size: int) -> int:
    """What a round over ``n`` rows costs beside the distances to its picks, in distances."""
    return size**2 + PASS * n


def _next_size(n: int, size: int, picks: int, of_half: int) -> int:
    """Half, same or double, by least overhead per pick. Doubling is taken to bring as much more as the last one did."""
    expected = {size: picks, size // 2: of_half, 2 * size: picks**2 / of_half}
    allowed = [each for each in expected if SMALLEST_BLOCK <= each <= LARGEST_BLOCK]
    return min(allowed, key=lambda each: _overhead(n, each) / expected[each])


def _steps(shares: Iterable[float]) -> Iterator[int]:
    """1 to STEPS, each as soon as that share of the work is done."""
    told = 0
    for share in shares:
        while told < int(STEPS * share):
            told += 1
            yield told
    yield from range(told + 1, STEPS + 1)


def _pick_block(nearest: _NearestCentre, left: int, block: int) -> tuple[list[int], int]:
    """At least one and at most ``left`` picks from among the farthest ``block`` rows; how many half of those rows would
    have brought."""
    squared = nearest.squared.cpu().numpy()
    candidates, bound, bound_index = _farthest(squared, block)
    if bound < nearest.resolution:
        bound, bound_index = nearest.resolution, -1
    rows = nearest.rows.gather(candidates)
    inside = torch.from_numpy(candidates).to(rows.device)
    norms, rounding = nearest.norms[inside], nearest.rounding[inside].cpu().numpy()
    # |b|^2 - 2ab; |a|^2 is added below, to the rows that are used.
    products = torch.addmm(norms, rows, rows.T, alpha=-2).cpu().numpy()
    own_norms = norms.cpu().numpy()
    distance = squared[candidates]
    middle = float(np.median(distance))
    picks: list[int] = []
    of_half = 0
    while len(picks) < min(left, len(candidates)):
        best = int(distance.argmax())
        beyond = distance[best] < bound or (distance[best] == bound and candidates[best] > bound_index)
        if picks and beyond:  # the first is the farthest of all rows
            break
        picks.append(int(candidates[best]))
        of_half += int(distance[best] >= middle)
        to_best = products[best] + own_norms[best]
        to_best[to_best <= rounding] = 0
        np.minimum(distance, to_best, out=distance)
        distance[best] = PICKED
    return picks, of_half


def _farthest(squared: np.ndarray, block: int) -> tuple[np.ndarray, float, int]:
    """The ``block`` farthest rows not picked, by ascending index; then the distance and index of the next one.

    Among equal distances the lower index counts as farther.
    """
    open_rows = np.flatnonzero(squared > PICKED)
    if len(open_rows) <= block:
        return open_rows, PICKED, -1
    bound = np.partition(squared, len(squared) - block - 1)[len(squared) - block - 1]
    ties = np.flatnonzero(squared == bound)
    above = np.flatnonzero(squared > bound)
    taken = block - len(above)
    return np.sort(np.concatenate([above, ties[:taken]])), float(bound), int(ties[taken])
