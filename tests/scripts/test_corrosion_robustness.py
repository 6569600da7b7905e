"""Each change of benchmarks/corrosion_robustness.py depends on the draw alone; what is not as seen by eye is named."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fastener.benchmarks.corrosion_robustness import DISTURBANCES, failings, turned
from fastener.corrosion.severity import DEGRADING, STABLE


def photo() -> np.ndarray:
    """A dark bar on light ground, 480 x 640."""
    drawn = np.full((480, 640, 3), 220, np.uint8)
    drawn[200:280, 120:520] = (90, 80, 70)
    return drawn


@pytest.mark.parametrize("name", DISTURBANCES)
def test_a_change_depends_on_the_draw_alone_and_changes_something(name: str) -> None:
    first, again = (DISTURBANCES[name](photo(), np.random.default_rng(3)) for _ in range(2))
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    unchanged = first.shape == (480, 640, 3) and np.array_equal(first, photo())
    assert unchanged == (name in ("as they are", "the whole series mirrored"))  # the bar is symmetric


def test_a_turned_photo_shows_all_of_the_part_on_its_own_ground() -> None:
    upright = turned(photo(), 90.0)
    assert upright.shape == (640, 480, 3)
    assert (upright < 150).all(axis=2).sum() == pytest.approx(80 * 400, rel=0.05)
    corner = turned(photo(), 20.0)[0, 0]
    assert corner.tolist() == [220, 220, 220]


def point(status: str, **figures: Any) -> Any:
    surface = SimpleNamespace(white=figures.get("white", 0.0), dark=figures.get("dark", 0.0))
    verdict = SimpleNamespace(severity=figures.get("severity", "None"), is_rusting=figures.get("rusting", False))
    return SimpleNamespace(
        status=status,
        verdict=verdict,
        rust=figures.get("rust", 0.0),
        white=surface.white,
        shots=[SimpleNamespace(surface=surface)],
    )


def test_failings_name_status_red_and_areas_beyond_the_tolerance() -> None:
    allen, grey = "Bolt Allen Black", "Bolt M5x0.8 Grey"
    assert failings(point(DEGRADING, rust=9.9, rusting=True), allen, 0) == []
    assert failings(point(DEGRADING, rust=10.1, rusting=True), allen, 0) == ["red 10.1"]
    assert failings(point(DEGRADING, rust=11.9, rusting=True), allen, 0, tolerance=0.2) == []
    assert failings(point(DEGRADING, rust=12.1, rusting=True), allen, 0, tolerance=0.2) == ["red 12.1"]
    assert failings(point(STABLE, severity="Mild"), grey, 0) == ["Mild"]
    assert failings(point(STABLE, white=6.0, dark=9.0, rust=2.0, rusting=True), grey, 1) == [
        "STABLE",
        "red 2.0",
        "worst dark 9.0",
    ]
