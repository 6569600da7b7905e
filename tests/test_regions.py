"""Boxes of hand-made maps, back through the transform to the photo."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspection.regions import find_regions

IDENTITY = np.array([[1.0, 0, 0], [0, 1.0, 0]])


def test_identity_boxes_are_exact() -> None:
    map_ = np.zeros((40, 60), np.float32)
    map_[5:9, 10:20] = 2.0
    map_[30:31, 50:51] = 3.0
    one, two = find_regions(map_, 1.0, IDENTITY, (40, 60))
    assert (one.x, one.y, one.width, one.height, one.score) == (50, 30, 1, 1, 3.0)
    assert (two.x, two.y, two.width, two.height, two.score) == (10, 5, 10, 4, 2.0)


def test_the_threshold_itself_is_not_exceeded() -> None:
    assert find_regions(np.ones((4, 4), np.float32), 1.0, IDENTITY, (4, 4)) == ()


def test_diagonal_neighbours_are_one_region() -> None:
    map_ = np.eye(6, dtype=np.float32)
    (region,) = find_regions(map_, 0.5, IDENTITY, (6, 6))
    assert (region.x, region.y, region.width, region.height) == (0, 0, 6, 6)


def test_a_frame_of_half_the_size_doubles_the_boxes() -> None:
    # Pixel centres at whole numbers: photo pixels 2i and 2i + 1 lie in map pixel i.
    to_half = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25]])
    map_ = np.zeros((20, 30), np.float32)
    map_[4:7, 8:10] = 1
    (region,) = find_regions(map_, 0.5, to_half, (40, 60))
    assert (region.x, region.y, region.width, region.height) == (16, 8, 4, 6)


def test_boxes_are_cut_at_the_photo_and_dropped_beyond() -> None:
    shifted = np.array([[1.0, 0, 10], [0, 1.0, 10]])
    map_ = np.zeros((60, 60), np.float32)
    map_[5:15, 5:15] = 1
    map_[0:3, 0:3] = 2
    (region,) = find_regions(map_, 0.5, shifted, (30, 30))
    assert (region.x, region.y, region.width, region.height) == (0, 0, 5, 5)


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 360), st.floats(0.4, 2.5), st.integers(-10, 10), st.integers(-10, 10))
def test_rotated_boxes_hold_the_area_within_a_pixel(angle: float, scale: float, dx: int, dy: int) -> None:
    a = np.deg2rad(angle)
    linear = scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    centre = np.array([100.0, 100.0])
    transform = np.column_stack([linear, np.array([60.0 + dx, 60.0 + dy]) - linear @ centre])
    map_ = np.zeros((120, 120), np.float32)
    map_[50:62, 55:80] = 1.0
    regions = find_regions(map_, 0.5, transform, (200, 200))
    # Brute force: photo points on a fine grid whose map position falls into the marked rectangle.
    fine = np.stack(np.meshgrid(np.arange(-0.5, 199.5, 0.25), np.arange(-0.5, 199.5, 0.25)), -1).reshape(-1, 2)
    at = fine @ linear.T + transform[:, 2]
    inside = (at[:, 0] > 54.5) & (at[:, 0] < 79.5) & (at[:, 1] > 49.5) & (at[:, 1] < 61.5)
    (region,) = regions
    low, high = fine[inside].min(0) + 0.5, fine[inside].max(0) + 0.5
    assert [region.x, region.y] == pytest.approx(low, abs=1.3)
    assert [region.x + region.width, region.y + region.height] == pytest.approx(high, abs=1.3)
    assert region.x <= low[0]
    assert region.y <= low[1]
