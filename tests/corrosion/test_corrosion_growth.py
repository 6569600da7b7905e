"""Heatmap growth against its formula, and what must leave it at zero."""

from __future__ import annotations

import numpy as np
import pytest

from fastener.corrosion.growth import disturbed_photos, heat_baseline, heat_growth, heat_noise
from fastener.corrosion.registration import Registration

STILL = Registration(np.eye(2, 3), 1.0, 1.0, True)
SIDE, THRESHOLD = 100, 11.0
MASK = np.ones((SIDE, SIDE), bool)
NOWHERE = np.zeros((SIDE, SIDE), bool)


def surface(seed: int = 0) -> np.ndarray:
    return (1.0 + 0.1 * np.random.default_rng(seed).standard_normal((SIDE, SIDE))).astype(np.float32)


def growth(
    map_: np.ndarray, base: np.ndarray, registration: Registration | None = STILL, own: np.ndarray = NOWHERE
) -> float:
    return heat_growth(
        map_,
        MASK,
        own=own,
        baselines=[heat_baseline([base], [MASK])],
        registration=registration,
        threshold=THRESHOLD,
        dead_band=3.0,
    )


@pytest.mark.parametrize("registration", [STILL, None])
def test_growth_is_the_share_of_the_way_to_the_alarm(registration: Registration | None) -> None:
    base = np.ones((SIDE, SIDE), np.float32)
    later = base.copy()
    later[:20] = 6.0  # half way from 1 to 11 on a fifth of the part
    later[20:30] = 40.0  # beyond the alarm on a tenth
    assert growth(later, base, registration) == pytest.approx(100 * (0.2 * 0.5 + 0.1), abs=0.6)


@pytest.mark.parametrize("registration", [STILL, None])
def test_t0_against_t0_is_zero_with_a_single_shot(registration: Registration | None) -> None:
    assert growth(surface(0), surface(0), registration) == 0.0
    assert growth(surface(1), surface(0), registration) < 0.2


def test_spot_that_moves_within_the_reach_of_registration_is_not_growth() -> None:
    base, later = surface(), surface(3)
    base[40:50, 40:50] += 8.0
    later[41:51, 42:52] += 8.0
    assert growth(later, base) < 0.2
    later[80:90, 80:90] += 8.0
    assert growth(later, base) > 0.5


def test_places_of_own_colour_do_not_count() -> None:
    later, own = surface(), NOWHERE.copy()
    later[:20] += 9.0
    own[:20] = True
    assert growth(later, surface()) > 10.0
    assert growth(later, surface(), own=own) < 0.2
    assert growth(later, surface(), None, own) < 0.2


def test_growth_never_falls_below_zero_or_rises_above_hundred() -> None:
    assert growth(surface() - 5.0, surface()) == 0.0
    assert growth(surface() + 500.0, surface()) == 100.0


def test_disturbances_of_t0_set_its_noise() -> None:
    calm, restless = [surface(seed) for seed in range(3)], [surface(), surface(1) + 3.0, surface(2)]
    assert max(heat_noise(calm, MASK, threshold=THRESHOLD, dead_band=3.0)) < 0.2
    assert max(heat_noise(restless, MASK, threshold=THRESHOLD, dead_band=3.0)) > 5.0


def test_disturbed_photos_tell_how_they_were_moved() -> None:
    photo = np.zeros((80, 120, 3), np.uint8)
    photo[30:33, 70:73] = 200
    for disturbed, move in disturbed_photos(photo):
        x, y = move @ [71, 31, 1]
        row, column = np.unravel_index(disturbed.sum(2).argmax(), disturbed.shape[:2])
        assert abs(row - y) <= 1.5
        assert abs(column - x) <= 1.5
