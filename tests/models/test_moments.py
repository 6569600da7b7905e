"""Moments of parts against numpy over the whole."""

from __future__ import annotations

import numpy as np
import torch

from fastener.models.moments import Moments


def test_parts_of_any_size_give_the_moments_of_the_whole() -> None:
    rows = np.random.default_rng(0).normal(3.0, [0.1, 2.0, 50.0], (1000, 3)).astype(np.float32)
    rows[:, 1] += 1e4  # a mean far beyond the deviation
    parts = [Moments.of(torch.from_numpy(part)) for part in np.split(rows, [1, 20, 700])]
    joined = Moments.join(parts)
    assert joined.count == 1000
    np.testing.assert_allclose(joined.mean, rows.mean(0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(joined.std, rows.astype(np.float64).std(0, ddof=1), rtol=1e-9)


def test_half_precision_is_summed_in_double() -> None:
    rows = torch.full((70_000, 2), 1.5, dtype=torch.float16)  # the sum is beyond what half precision holds
    moments = Moments.of(rows)
    assert moments.mean.tolist() == [1.5, 1.5]
    assert moments.std.tolist() == [0.0, 0.0]
