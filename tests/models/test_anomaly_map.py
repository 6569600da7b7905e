"""Distances beside the usual, and along lines, against numpy written out; and PatchCore with both."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patchcore_factory import model, photos

from fastener.config import load_config
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Inspection
from fastener.models.anomaly_map import PositionStats, along_lines
from fastener.models.memory_bank import MemoryBank
from fastener.models.patchcore import PatchCore

EACH_PLACE = 1e-3 / 8  # px: of a grid with patches of 8 px, a neighbourhood that holds its own place alone


def by_median(grid: np.ndarray, half: int) -> np.ndarray:
    """``along_lines`` for one grid, place by place, from the values in reach of a line."""
    height, width = grid.shape
    tolerant = np.array(
        [[grid[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].max() for x in range(width)] for y in range(height)]
    )
    reflected = np.pad(tolerant, half, mode="symmetric")
    best = np.full(grid.shape, -np.inf)
    for y in range(height):
        for x in range(width):
            for angle in np.arange(16) * math.pi / 16:
                values = [
                    reflected[half + y + round(at * math.sin(angle)), half + x + round(at * math.cos(angle))]
                    for at in range(-half, half + 1)
                ]
                best[y, x] = max(best[y, x], np.median(values))
    return best


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_lines_by_their_definition(seed: int, half: int) -> None:
    grids = np.random.default_rng(seed).gamma(2, 1, (2, 9, 13)).astype(np.float32)
    expected = [by_median(grid, half) for grid in grids]
    np.testing.assert_allclose(along_lines(grids, 2 * half), expected, rtol=1e-6)


@pytest.mark.parametrize("slope", [0.0, 0.3, 1.0, 3.0])
def test_a_faint_line_outshines_a_strong_spot(slope: float) -> None:
    """And it does up to the border, where it begins."""
    grid = np.zeros((1, 60, 80), np.float32)
    for at in np.arange(0, 40, 0.2):
        x, y = at / math.hypot(1, slope), slope * at / math.hypot(1, slope)
        grid[0, round(y) + 10, round(x)] = 1
    grid[0, 40:44, 60:64] = 9
    lines = along_lines(grid, 20)[0]
    assert lines[:, 50:].max() == 0
    assert lines[10, 0] == 1
    assert (lines > 0.5).sum() >= 30


def test_usual_distances_are_mean_and_deviation_of_each_place() -> None:
    grids = np.random.default_rng(0).gamma(2, 1, (7, 5, 6)).astype(np.float32)
    usual = PositionStats.of(grids, height=round(5 * 8 / EACH_PLACE))
    expected = (grids - grids.mean(0)) / grids.std(0)
    np.testing.assert_allclose(usual.standardise(grids), expected, atol=1e-5)
    # Without some of them, they are those of the others; saved and read again, they are the same.
    others = usual.without(grids[2:4])
    rest = np.delete(grids, [2, 3], 0)
    np.testing.assert_allclose(others.standardise(grids), (grids - rest.mean(0)) / rest.std(0), atol=1e-4)
    again = PositionStats.from_state(usual.state())
    np.testing.assert_array_equal(again.standardise(grids), usual.standardise(grids))


def test_a_neighbourhood_widens_what_is_usual() -> None:
    """Where one side of all images is uneven, the other is judged by its own kind."""
    rng = np.random.default_rng(1)
    grids = rng.normal(5, 0.1, (40, 40, 40)).astype(np.float32)
    grids[:, :, 20:] += rng.normal(0, 2, (40, 40, 20))
    z = PositionStats.of(grids, height=320).standardise(np.full((1, 40, 40), 6, np.float32))[0]
    assert z[:, :15].mean() == pytest.approx(10, rel=0.1)
    assert z[:, 25:].mean() == pytest.approx(0.5, rel=0.2)


def test_places_that_never_vary_stay_finite() -> None:
    grids = np.ones((4, 6, 6), np.float32)
    assert np.isfinite(PositionStats.of(grids, 48).standardise(2 * grids)).all()


def test_unseen_images_are_judged_by_all_others() -> None:
    """Leave-one-out scores: neither the bank nor what is usual knows the image, nor its copies."""
    images, groups = photos(7), np.array([0, 1, 1, 2, 3, 4, 5])
    patchcore = model(ratio=1.0, b=1)
    patchcore.per_position = True
    patchcore.fit([images], groups.tolist())
    distances = np.stack(
        [
            MemoryBank(patchcore.bank_.features[patchcore.bank_groups_ != group])
            .search(patchcore.extractor(images[i : i + 1]).reshape(-1, 20))[0]
            .numpy()
            .reshape(4, 6)
            for i, group in enumerate(groups)
        ]
    )
    for i, group in enumerate(groups):
        usual = PositionStats.of(distances[groups != group], height=32)
        expected = usual.standardise(distances[i : i + 1]).max()
        assert patchcore.training_scores_.images[i] == pytest.approx(expected, abs=0.01)
    # Maps are drawn between the centres of patches, so they hardly reach their peak.
    assert (patchcore.training_scores_.peaks <= patchcore.training_scores_.images).all()
    assert patchcore.position_stats_ is not None
    assert patchcore.position_stats_.count == 7
    known = patchcore.score(images).images
    assert (known < patchcore.training_scores_.images).all()


def test_learning_more_keeps_what_is_usual() -> None:
    patchcore: PatchCore = model(ratio=1.0, b=1)
    patchcore.per_position = True
    usual = patchcore.fit([photos(5)], range(5)).position_stats_
    patchcore.fit([photos(2, seed=3)], [5, 6])
    assert patchcore.position_stats_ is usual
    assert np.isfinite(patchcore.training_scores_.images).all()


def test_a_saved_model_judges_alike(tmp_path: Path) -> None:
    settings = {"evidence": ["filters"], "preprocess.size": 64, "model.per_position": True, "model.line_length": 24}
    config = load_config("configs/mvtec.yaml", flags=settings)
    healthy = list(photos(5, 64, 64))
    saved = Inspector.fit(healthy, config)
    saved.save(tmp_path / "model.pkl")
    cracked = photos(1, 64, 64, seed=8)[0]
    cracked[30:33, 5:60] = 0
    good = photos(1, 64, 64, seed=9)[0]
    before = [one for one in saved.inspect([cracked, good]) if isinstance(one, Inspection)]
    after = [
        one for one in Inspector.load(tmp_path / "model.pkl").inspect([cracked, good]) if isinstance(one, Inspection)
    ]
    assert [one.score for one in after] == pytest.approx([one.score for one in before], rel=1e-5)
    assert before[0].score > max(before[1].score, before[0].threshold)
    assert any(r.y <= 31 < r.y + r.height and r.width > 30 for r in before[0].regions)
