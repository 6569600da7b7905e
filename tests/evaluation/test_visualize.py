"""Plots hold the numbers they claim; files appear whole or not at all."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from data_factory import ROOT
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from PIL import Image

from fastener.common.errors import UserError
from fastener.evaluation.metrics import Confusion, auroc, average_precision
from fastener.evaluation.visualize import (
    confusion_matrix,
    precision_recall,
    roc_curve,
    save_figure,
    score_distribution,
)

LABELS = np.array([False] * 12 + [True] * 20)
SCORES = np.random.default_rng(0).normal(size=32) + LABELS


def texts(fig: Figure) -> str:
    return "\n".join(text.get_text() for text in fig.findobj(matplotlib.text.Text))


def line(fig: Figure, label: str) -> np.ndarray:
    return np.asarray(next(item for item in fig.axes[0].lines if item.get_label() == label).get_xydata())


def test_roc_curve_has_the_area_it_names() -> None:
    area = auroc(LABELS, SCORES)
    fig = roc_curve(LABELS, SCORES, area, (0.61, 0.94))
    points = line(fig, "model")
    assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(area)
    assert f"AUROC {area:.3f}, 95 % interval 0.610 to 0.940" in texts(fig)
    assert "n = 32 images (20 anomalous, 12 good)" in texts(fig)
    assert "interval" not in texts(roc_curve(LABELS, SCORES, area))


def test_precision_recall_steps_have_the_area_named_and_mark_the_best_f1() -> None:
    fig = precision_recall(LABELS, SCORES)
    points = line(fig, "model")[::-1]  # from recall 0 up
    area = average_precision(LABELS, SCORES)
    assert np.sum(np.diff(points[:, 0]) * points[1:, 1]) == pytest.approx(area)
    assert f"AUPR {area:.3f}" in texts(fig)
    marked = next(item for item in fig.axes[0].lines if item.get_marker() == "o")
    recall, precision = np.asarray(marked.get_xydata())[0]
    every_f1 = 2 * points[:, 0] * points[:, 1] / (points[:, 0] + points[:, 1])
    assert 2 * recall * precision / (recall + precision) == pytest.approx(every_f1.max())
    assert f"best F1 {every_f1.max():.3f}" in texts(fig)


@pytest.mark.parametrize("plot", [lambda t, s: roc_curve(t, s, 0.5), precision_recall])
def test_curves_of_one_class_are_value_errors(plot: Callable[..., Figure]) -> None:
    with pytest.raises(ValueError, match="good and anomalous"):
        plot([True, True], [1.0, 2.0])


def test_score_distribution_draws_every_point_in_its_row() -> None:
    groups = ["good"] * 12 + ["scratch_$1$"] * 17 + ["a_defect_with_a_very_long_name_indeed"] * 3
    fig = score_distribution(groups, SCORES, threshold=0.5)
    clouds = [item for item in fig.axes[0].collections if isinstance(item, PathCollection)]
    rows = [np.asarray(cloud.get_offsets()) for cloud in clouds]
    for row, part in zip(rows, (SCORES[:12], SCORES[12:29], SCORES[29:]), strict=True):
        assert np.array_equal(row[:, 0], np.sort(part))
    heights = [row[:, 1] for row in rows]
    assert heights[0].min() > heights[1].max()
    assert heights[1].min() > heights[2].max()
    shown = texts(fig)
    assert f"good\nn = 12, {(SCORES[:12] > 0.5).sum()} flagged" in shown
    assert "scratch_$1$\nn = 17" in shown
    assert "a_defect_wit\u2026name_indeed\nn = 3" in shown
    assert "threshold 0.5" in shown
    assert "n = 32" in shown
    again = score_distribution(groups, SCORES, threshold=0.5).axes[0].collections
    assert np.array_equal(np.asarray(next(c for c in again if isinstance(c, PathCollection)).get_offsets()), rows[0])
    fig.canvas.draw()  # a name with dollar signs is a name, not mathematics


def test_score_distribution_of_little_and_of_nothing() -> None:
    fig = score_distribution(["good"], [2.0])
    assert "flagged" not in texts(fig)
    assert "good\nn = 1" in texts(fig)
    with pytest.raises(ValueError, match="no scores"):
        score_distribution([], [])
    with pytest.raises(ValueError, match="same length"):
        score_distribution(["good"], [1.0, 2.0])


def test_confusion_matrix_shows_counts_and_row_shares() -> None:
    fig = confusion_matrix(Confusion(tn=30, fp=10, fn=0, tp=5))
    assert np.array_equal(np.asarray(fig.axes[0].images[0].get_array()), [[0.75, 0.25], [0.0, 1.0]])
    shown = texts(fig)
    for part in ("30\n75.0%", "10\n25.0%", "0\n0.0%", "5\n100.0%", "n = 45 (5 anomalous), accuracy 0.778"):
        assert part in shown
    assert "nan" not in texts(confusion_matrix(Confusion(3, 1, 0, 0)))


@pytest.mark.parametrize("ending", [".png", ".pdf"])
def test_save_figure_writes_the_same_bytes_and_nothing_beside(tmp_path: Path, ending: str) -> None:
    paths = [tmp_path / f"{name}{ending}" for name in "ab"]
    for path in paths:
        save_figure(roc_curve(LABELS, SCORES, 0.8), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(tmp_path.iterdir()) == paths
    if ending == ".png":
        with Image.open(paths[0]) as picture:
            assert min(picture.size) > 700


def test_save_figure_keeps_the_old_file_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "plot.png"
    path.write_bytes(b"old")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(UserError, match=r"plot\.png: No space left on device"):
        save_figure(roc_curve(LABELS, SCORES, 0.8), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_save_figure_names_the_bad_path(tmp_path: Path) -> None:
    fig = Figure()
    with pytest.raises(UserError, match=r"plot\.bmp: .*\.png, \.pdf or \.svg"):
        save_figure(fig, tmp_path / "plot.bmp")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot write .*file/plot\.png"):
        save_figure(fig, tmp_path / "file" / "plot.png")


def test_figures_drawn_in_threads_equal_those_drawn_alone(tmp_path: Path) -> None:
    def draw(number: int) -> None:
        save_figure(score_distribution(["good", "bad"] * 16, SCORES + number, 0.5), tmp_path / f"{number}.png", dpi=60)

    threads = [threading.Thread(target=draw, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = [(tmp_path / f"{number}.png").read_bytes() for number in range(4)]
    for number in range(4):
        draw(number)
    assert together == [(tmp_path / f"{number}.png").read_bytes() for number in range(4)]


def test_pyplot_is_never_imported() -> None:
    code = "import sys, evaluation.visualize; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
