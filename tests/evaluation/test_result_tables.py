"""Tables in four formats, curves of regions beside exact pixel metrics, resamples beside scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, roc_auc_score

from fastener.evaluation.comparison import compare
from fastener.evaluation.figure_style import Style, look_of
from fastener.evaluation.pixel_metrics import aupro
from fastener.evaluation.region_curves import RegionCurves
from fastener.evaluation.resampling import resample_weights, weighted_auroc, weighted_average_precision
from fastener.evaluation.result_tables import Estimate, Table
from fastener.evaluation.robustness import DISTURBANCES, disturbed
from fastener.inspection.registry import METHODS

TABLE = Table(
    "AUROC of 2_methods",
    ["method", "a & b", "all"],
    [("one", [Estimate(0.9114, 0.9, 0.92), None]), ("two", [Estimate(0.9106), Estimate(0.5)])],
)


def test_the_best_as_printed_is_bold() -> None:
    assert TABLE.to_markdown().splitlines()[2:] == [
        "| one | **0.911** [0.900, 0.920] | - |",
        "| two | **0.911** | **0.500** |",
    ]
    latex = TABLE.to_latex()
    for words in (r"2\_methods", r"a \& b", r"\toprule", r"one & \textbf{0.911} & - \\"):
        assert words in latex
    assert r" & {\scriptsize [0.900, 0.920]} &  \\" in latex.splitlines()
    assert latex.count(r"\scriptsize") == 1  # a row without intervals has no line for them
    assert TABLE.to_csv().splitlines()[1] == "one,0.9114,0.9,0.92,,,"
    assert "<b>0.911</b> <small>[0.900, 0.920]</small>" in TABLE.to_html()


def test_resampled_metrics_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(30) < 12
    scores = np.round(rng.normal(size=30) + truth, 1)  # with ties
    weights = np.concatenate(list(resample_weights(truth, None, 5, 1)))
    for row, area, precision in zip(
        weights, weighted_auroc(truth, scores, weights), weighted_average_precision(truth, scores, weights), strict=True
    ):
        drawn = np.repeat(truth, row), np.repeat(scores, row)
        assert area == pytest.approx(roc_auc_score(*drawn), abs=1e-12)
        assert precision == pytest.approx(average_precision_score(*drawn), abs=1e-12)


def maps_and_masks(worth: float, seed: int = 5) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    masks = [np.zeros((40, 50), bool) for _ in range(12)]
    for mask in masks[:8]:
        top, left = rng.integers(0, 30, 2)
        mask[top : top + 6, left : left + 9] = True
    return [rng.gamma(2, size=(40, 50)) + worth * mask for mask in masks], masks


def test_curves_of_regions_are_close_to_exact(tmp_path: Path) -> None:
    maps, masks = maps_and_masks(2.0)
    maps[0][:5] = np.nan
    curves = RegionCurves.for_maps(maps)
    for map_, mask in zip(maps, masks, strict=True):
        curves.update(map_, mask)
    exact = aupro(masks, maps)
    assert curves.aupro()[0] == pytest.approx(exact, abs=1e-3)
    curves.write(tmp_path)
    again = RegionCurves.read(tmp_path)
    assert again is not None
    twice = np.repeat([0, *range(12)], 1)
    weights = np.bincount(twice, minlength=12)[None]
    assert again.aupro(weights)[0] == pytest.approx(
        aupro([masks[i] for i in twice], [maps[i] for i in twice]), abs=1e-3
    )


def test_paired_bootstrap_of_precision_and_regions() -> None:
    labels = np.arange(12) < 8
    regions = {}
    for name, worth in (("good", 3.0), ("bad", 0.5)):
        maps, masks = maps_and_masks(worth)
        curves = RegionCurves.for_maps(maps)
        for map_, mask in zip(maps, masks, strict=True):
            curves.update(map_, mask)
        regions[name] = {"a": curves}
    rng = np.random.default_rng(2)
    scores = {"good": {"a": rng.normal(size=12) + 4 * labels}, "bad": {"a": rng.normal(size=12)}}
    (one,), _ = compare({"a": labels}, scores, regions=regions)
    assert one.others["image_aupr"].values == pytest.approx(
        [average_precision_score(labels, scores[name]["a"]) for name in ("good", "bad")], abs=1e-12
    )
    areas = one.others["aupro"]
    assert areas.low > 0
    assert areas.p < 0.01
    (same,), _ = compare(
        {"a": labels}, {"x": scores["bad"], "y": scores["bad"]}, regions={"x": regions["bad"], "y": regions["bad"]}
    )
    assert (same.others["aupro"].difference, same.others["aupro"].p, same.others["image_aupr"].p) == (0.0, 1.0, 1.0)


def test_figures_have_fixed_colours_and_no_titles_on_paper(tmp_path: Path) -> None:
    looks = [tuple(look_of(name).values()) for name in METHODS]
    assert len(set(looks)) == len(looks)

    def draw(style: Style) -> Figure:
        return style.axes("a title")[0]

    style = Style(paper=True, columns=2, formats=("svg", "pdf"))
    first = [file.read_bytes() for file in style.write(draw, tmp_path, "figure")]
    assert b"a title" not in first[0]
    assert [file.read_bytes() for file in style.write(draw, tmp_path, "figure")] == first
    assert draw(Style(columns=2)).get_size_inches()[0] == 7.0


def test_each_step_of_a_disturbance_changes_a_photo_more() -> None:
    rng = np.random.default_rng(0)
    photo = np.repeat(rng.integers(60, 180, (160, 512, 1)).astype(np.uint8), 3, axis=2)
    for name, (_, _, steps) in DISTURBANCES.items():
        away = [np.abs(disturbed(photo, name, step).astype(float) - photo).mean() for step in steps]
        assert away[-1] > away[0] > 0, name
    grey = disturbed(np.full((8, 8, 3), 100, np.uint8), "brighter", 1.2)
    assert (grey == 120).all()
