"""benchmarks/coverage.py on small rendered photos: that it runs, and that thresholds keep what they promise."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fastener.benchmarks import coverage
from fastener.benchmarks.coverage import Row, coverage_figure, thinned
from fastener.benchmarks.coverage_draws import Photos, draw_set, try_threshold
from fastener.config import CalibrationSettings


def photos(n: int, shift: float, seed: int) -> Photos:
    rng = np.random.default_rng(seed)
    spread = rng.lognormal(0, 0.2, (n, 1, 1, 1))
    features = torch.from_numpy(rng.normal(shift, 1, (n, 4, 4, 8)) * spread).half()
    return Photos({"filters": features})


def test_clean_training_sets_keep_the_stated_rate_and_find_defects() -> None:
    good, bad = photos(120, 0, 0), photos(40, 4, 1)
    draws = []
    for seed in range(40):
        training, fresh, defective = draw_set(good, bad, 20, 0, np.random.default_rng(seed))
        assert (len(training), len(fresh), len(defective)) == (20, 100, 40)
        draws.append(try_threshold(training, fresh, defective, CalibrationSettings(), ratio=None, share=0.05))
    assert np.mean([one.false_alarms for one in draws]) <= np.mean([one.bound for one in draws])
    assert np.mean([one.recall for one in draws]) > 0.9


def test_mislabelled_photos_are_not_judged() -> None:
    good, bad = photos(30, 0, 0), photos(10, 4, 1)
    training, fresh, defective = draw_set(good, bad, 12, 2, np.random.default_rng(0))
    assert (len(training), len(fresh), len(defective)) == (12, 20, 8)
    of_bad = {bytes(one.numpy()) for one in bad.features["filters"]}
    assert sum(bytes(one.numpy()) in of_bad for one in training.features["filters"]) == 2
    assert not {bytes(one.numpy()) for one in training.features["filters"]} & {
        bytes(one.numpy()) for one in defective.features["filters"]
    }


def test_thinned_features_keep_distances_on_average() -> None:
    features = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 8, 8, 200))).half()
    thin = thinned(features)
    assert tuple(thin.shape) == (3, 4, 4, 64)
    whole = torch.nn.functional.avg_pool2d(features.float().permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1).flatten(0, 2)
    ratio = torch.cdist(thin.float().flatten(0, 2), thin.float().flatten(0, 2)).sum() / torch.cdist(whole, whole).sum()
    assert float(ratio) == pytest.approx(1, abs=0.05)


def test_rendered_parts_give_a_table_and_a_figure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(coverage, "_JUDGED", 12)
    flags = ["--rendered", "34", "--n", "2", "10", "--draws", "8", "--figure", str(tmp_path / "few" / "photos.png")]
    small = ["--backbone", "filters", "--set", "preprocess.size=64", "--cache", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["coverage.py", *flags, *small])
    threads = torch.get_num_threads()
    try:
        assert coverage.main() == 0
    finally:
        torch.set_num_threads(threads)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| rendered")]
    assert len(lines) == 2
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        false_alarms, error = map(float, cells[4].split(" ± "))
        assert false_alarms <= float(cells[5]) + 2 * error
    assert (tmp_path / "rendered_bolts.pt").exists()
    assert (tmp_path / "few" / "photos.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_to_draw_from_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["coverage.py"])
    with pytest.raises(SystemExit, match="2"):
        coverage.main()


def test_figure_has_a_line_a_data_set() -> None:
    rows = [Row("bolts", n, bad, 3, 0.04, 0.01, 0.05, 0.8) for n in (10, 50) for bad in (0, n // 10)]
    left, right = coverage_figure(rows, 0.05).axes
    legend = left.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["bolts"]
    assert right.get_ylabel() == "false-alarm rate"
