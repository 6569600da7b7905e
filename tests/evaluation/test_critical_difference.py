"""Ranks and critical differences beside the example of Demsar (2006), and the diagram's runs of methods."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import friedmanchisquare

from fastener.evaluation.critical_difference import RankComparison, compare_ranks, critical_difference, diagram

# Table 6 of Demsar (2006): AUC of C4.5 with its parameters m and cf tuned; ties as they are printed there.
NAMES = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")
AREAS = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],  # ranked 2 and 3 there, from more digits than printed
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def test_demsars_example() -> None:
    found = compare_ranks(NAMES, AREAS)
    assert found.methods == ("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5")
    np.testing.assert_allclose(found.ranks, (1.964, 2.000, 2.893, 3.143), atol=5e-4)
    assert critical_difference(4, 14) == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 14)), abs=1e-3)
    k, n = 4, 14
    chi_square = 12 * n / (k * (k + 1)) * (np.square(found.ranks).sum() - k * (k + 1) ** 2 / 4)
    assert chi_square == pytest.approx(9.28, abs=0.01)
    assert found.p == friedmanchisquare(*AREAS.T).pvalue
    assert found.p < 0.05
    assert found.alike == [(0, 3)]  # 3.143 - 1.964 = 1.18 is less than 1.25


def test_runs_of_methods_that_are_not_told_apart() -> None:
    found = RankComparison(("a", "b", "c", "d"), (1.0, 1.6, 2.4, 4.0), 9, 0.01, 1.0)
    assert found.alike == [(0, 1), (1, 2)]
    assert len(diagram(found).axes[0].lines) > 8


def test_too_few_to_rank() -> None:
    with pytest.raises(ValueError, match="3 methods and 2 data sets"):
        compare_ranks(("a", "b"), np.zeros((4, 2)))
