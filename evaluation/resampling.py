"""Draw images again and again, and compute a metric of all draws at once: the heart of the bootstrap."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_CHUNK_CELLS = 4_000_000  # weights held at once: 32 MB


def resample_weights(
    truth: Bools, groups: npt.ArrayLike | None, n_resamples: int, seed: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Yield int64 blocks (r, n), ``n_resamples`` rows in total: how often each resample draws each image.

    ``groups`` are those of ``bootstrap_ci``.
    """
    group = group_index(groups, truth.size)
    rng = np.random.default_rng(seed)
    anomalous = np.bincount(group, weights=truth)
    kind = np.where(anomalous == 0, 0, np.where(anomalous == np.bincount(group), 1, 2))
    rows_at_once = max(1, _CHUNK_CELLS // truth.size)
    for start in range(0, n_resamples, rows_at_once):
        rows = min(rows_at_once, n_resamples - start)
        weights = np.zeros((rows, kind.size), dtype=np.int64)
        for stratum in np.unique(kind):
            members = np.flatnonzero(kind == stratum)
            weights[:, members] = rng.multinomial(members.size, np.full(members.size, 1 / members.size), size=rows)
        yield weights[:, group]


def weighted_auroc(truth: Bools, scores: Floats, weights: npt.NDArray[np.int64]) -> Floats:
    """Compute the AUROC of each row of integer weights by Mann-Whitney's U; ties count half."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    anomalous = np.add.reduceat(weights[:, order] * truth[order], starts, axis=1)
    good = np.add.reduceat(weights[:, order] * ~truth[order], starts, axis=1)
    good_below = np.cumsum(good, axis=1) - good
    wins = (anomalous * (good_below + good / 2)).sum(axis=1)
    return np.asarray(wins / (anomalous.sum(axis=1) * good.sum(axis=1)), dtype=np.float64)


def weighted_average_precision(truth: Bools, scores: Floats, weights: npt.NDArray[np.int64]) -> Floats:
    """Compute the average precision of each row of integer weights."""
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) < 0])
    anomalous = np.add.reduceat(weights[:, order] * truth[order], starts, axis=1)
    flagged = np.cumsum(np.add.reduceat(weights[:, order], starts, axis=1), axis=1)
    found = np.cumsum(anomalous, axis=1)
    precision = np.divide(found, flagged, out=np.zeros(found.shape), where=flagged > 0)
    return np.asarray((anomalous * precision).sum(axis=1) / found[:, -1], dtype=np.float64)


def group_index(groups: npt.ArrayLike | None, n: int) -> npt.NDArray[np.intp]:
    """Number the groups in order of appearance, so that names do not influence draws; None: one group per image."""
    if groups is None:
        return np.arange(n)
    names = np.asarray(groups)
    if names.shape != (n,):
        raise ValueError(f"groups {names.shape} must name one group for each of {n} images")
    _, first, index = np.unique(names, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[index]
