"""Bars that are bent and cut by calculation have the angle and the length that were asked for."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fastener.benchmarks.deformed_photos import bend, shorten


def bar(angle: float, width: float = 8.0) -> tuple[np.ndarray, np.ndarray]:
    """A white bar 240 px long and ``width`` wide on black, turned by ``angle`` degrees: photo and mask."""
    photo = np.zeros((480, 480, 3), np.uint8)
    corners = cv2.boxPoints(((240.0, 240.0), (240.0, width), angle)).astype(np.int32)
    cv2.fillPoly(photo, [corners], (255, 255, 255))
    return photo, photo[..., 0] > 0


def direction(points: np.ndarray) -> np.ndarray:
    """Direction of the long axis of points (n, 2)."""
    return np.asarray(np.linalg.svd(points - points.mean(0), full_matrices=False)[2][0])


@pytest.mark.parametrize("angle", [0.0, 30.0, 75.0])
@pytest.mark.parametrize("degrees", [5.0, 12.0, 20.0])
def test_the_halves_of_a_bent_bar_enclose_the_angle(angle: float, degrees: float) -> None:
    photo, mask = bar(angle)
    points = np.argwhere(bend(photo, mask, degrees)[..., 0] > 127).astype(float)
    place = (points - points.mean(0)) @ direction(points)
    first, last = (direction(points[part]) for part in (place < -40, place > 40))
    between = np.degrees(np.arccos(np.clip(abs(first @ last), 0, 1)))
    assert between == pytest.approx(degrees, abs=0.7)


def test_a_bar_that_is_not_bent_stays() -> None:
    photo, mask = bar(30.0)
    assert np.array_equal(bend(photo, mask, 0.0), photo)


@pytest.mark.parametrize("angle", [0.0, 30.0, 75.0])
def test_a_cut_takes_its_share_of_the_area(angle: float) -> None:
    photo, mask = bar(angle, 40.0)
    cut = shorten(photo, mask, 0.2)[..., 0] > 127
    assert np.count_nonzero(cut) == pytest.approx(0.8 * np.count_nonzero(mask), rel=0.02)
