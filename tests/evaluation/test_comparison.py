"""Comparisons of runs: DeLong, Holm and Wilcoxon against their formulas, and the script's words."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from data_factory import run_inside
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wilcoxon
from sklearn.metrics import roc_auc_score

from fastener.evaluation.comparison import FEWEST_SETS, compare, delong, delong_test, holm


def placements(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong's structural components by comparing every two images."""
    defective, good = scores[truth], scores[~truth]
    wins = (defective[:, None] > good[None]) + 0.5 * (defective[:, None] == good[None])
    return wins.mean(1), wins.mean(0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(2, 12), st.booleans())
def test_delong_is_its_definition(seed: int, n_defective: int, n_good: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    truth = np.arange(n_defective + n_good) < n_defective
    scores = [rng.integers(0, 4, truth.size).astype(float) if ties else rng.normal(size=truth.size) for _ in range(3)]
    areas, covariance = delong(truth, scores)
    np.testing.assert_allclose(areas, [roc_auc_score(truth, one) for one in scores], atol=1e-12)
    components = [placements(truth, one) for one in scores]
    for i, j in product(range(3), repeat=2):
        expected = (
            np.cov(components[i][0], components[j][0])[0, 1] / n_defective
            + np.cov(components[i][1], components[j][1])[0, 1] / n_good
        )
        assert covariance[i, j] == pytest.approx(expected, abs=1e-12)


def test_holm_on_a_worked_example() -> None:
    # Holm's procedure by hand: 4 * 0.005, 3 * 0.01, 2 * 0.03, and 0.04 raised to its predecessor's 0.06.
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]).max() <= 1.0


def test_equal_runs_do_not_differ() -> None:
    truth = np.arange(20) < 10
    scores = np.random.default_rng(0).normal(size=20)
    found, _ = compare({"a": truth}, {"one": {"a": scores}, "two": {"a": 2 * scores + 1}})
    assert (found[0].difference, found[0].p) == (0.0, 1.0)
    assert (found[0].low, found[0].high) == (0.0, 0.0)


def test_p_values_are_uniform_where_nothing_differs() -> None:
    rng = np.random.default_rng(1)
    truth = np.arange(80) < 40
    p = []
    for _ in range(300):
        part = rng.normal(size=80) + truth
        p.append(delong_test(truth, part + rng.normal(size=80), part + rng.normal(size=80)).p)
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.09


def test_many_sets_are_compared_by_wilcoxon() -> None:
    rng = np.random.default_rng(2)
    labels = {f"set {k}": np.arange(40) < 20 for k in range(FEWEST_SETS)}
    scores = {
        name: {data: rng.normal(size=40) + worth * truth for data, truth in labels.items()}
        for name, worth in (("good", 2.0), ("bad", 0.3))
    }
    found, across = compare(labels, scores)
    areas = np.array([one.auroc for one in found])
    assert across[0].p == wilcoxon(areas[:, 0], areas[:, 1]).pvalue
    assert across[0].mean == pytest.approx(tuple(areas.mean(0)))
    few = dict(list(labels.items())[:2])
    assert compare(few, scores)[1] == []


def write_run(folder: Path, scores: np.ndarray, truth: np.ndarray, first: int = 0) -> Path:
    folder.mkdir(parents=True)
    paths = np.array([f"{first + i}.png" for i in range(truth.size)])
    np.savez(folder / "scores.npz", path=paths, is_anomalous=truth, score=scores)
    return folder


def test_script_compares_and_says_what_does_not_fit(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    truth = np.arange(60) < 30
    good = write_run(tmp_path / "good", rng.normal(size=60) + 2 * truth, truth)
    order = rng.permutation(60)
    bad = tmp_path / "bad"
    bad.mkdir()
    paths = np.array([f"{i}.png" for i in range(60)])[order]  # another order of the same images
    np.savez(bad / "scores.npz", path=paths, is_anomalous=truth[order], score=rng.normal(size=60))
    output = tmp_path / "out"
    done = run_inside("evaluate.py", "--compare", good, bad, "--output", output)
    assert done.returncode == 0, done.stderr
    assert "| all images | 60 | good | bad |" in done.stdout
    assert {path.name for path in output.iterdir()} == {"comparison.csv", "comparison.md", "roc.png", "pr.png"}
    odd = write_run(tmp_path / "odd", rng.normal(size=60), truth, first=1)
    for other, words in (
        (odd, "different images of all images: 2 are in one of them only"),
        (tmp_path, "no scores.npz"),
        (good, "named twice"),
    ):
        refused = run_inside("evaluate.py", "--compare", good, other, "--output", output)
        if other is tmp_path:
            continue  # holds the runs as if they were categories
        assert (refused.returncode != 0, words in refused.stderr) == (True, True), refused.stderr
    nested = tmp_path / "nested"
    write_run(nested / "nut", rng.normal(size=60), truth)
    assert "no data set in common, only all images, nut" in run_inside("evaluate.py", "--compare", good, nested).stderr
    write_run(tmp_path / "more" / "nut", rng.normal(size=60), truth)
    write_run(tmp_path / "more" / "bolt", rng.normal(size=60), truth)
    shared = run_inside("evaluate.py", "--compare", nested, tmp_path / "more", "--output", output)
    assert (shared.returncode, "not compared: bolt" in shared.stderr) == (0, True)
    (tmp_path / "empty").mkdir()
    assert "no scores.npz" in run_inside("evaluate.py", "--compare", good, tmp_path / "empty").stderr
    one_class = write_run(tmp_path / "one_class", rng.normal(size=60), np.ones(60, bool))
    same = write_run(tmp_path / "same", rng.normal(size=60), np.ones(60, bool))
    assert run_inside("evaluate.py", "--compare", one_class, same).returncode != 0
    assert run_inside("evaluate.py", "--compare", good).returncode == 2
