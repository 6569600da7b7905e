"""Several parts in one mask: apart, touching, and single parts that must stay whole."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fastener.preprocessing.instances import instances_of


def drawn(*circles: tuple[int, int, int]) -> np.ndarray:
    mask = np.zeros((200, 240), np.uint8)
    for x, y, radius in circles:
        cv2.circle(mask, (x, y), radius, 1, -1)
    return mask > 0


def test_parts_that_lie_apart() -> None:
    parts = instances_of(drawn((50, 50, 20), (150, 60, 25), (100, 150, 22)))
    assert len(parts) == 3
    assert sum(int(part.sum()) for part in parts) == drawn((50, 50, 20), (150, 60, 25), (100, 150, 22)).sum()


def test_touching_discs_are_cut_where_they_are_narrow() -> None:
    mask = drawn((80, 100, 30), (138, 100, 30))
    parts = instances_of(mask)
    assert len(parts) == 2
    assert not (parts[0] & parts[1]).any()
    assert np.array_equal(parts[0] | parts[1], mask)
    areas = sorted(int(part.sum()) for part in parts)
    assert areas[0] > 0.9 * areas[1]


def test_rings_that_touch_keep_their_holes() -> None:
    mask = drawn((80, 100, 30), (138, 100, 30)) & ~drawn((80, 100, 14), (138, 100, 14))
    parts = instances_of(mask)
    assert len(parts) == 2
    assert not any(part[100, 80] or part[100, 138] for part in parts)


def test_a_bolt_stays_whole() -> None:
    mask = np.zeros((200, 240), np.uint8)
    mask[90:110, 60:180] = 1
    mask[80:120, 40:70] = 1
    assert len(instances_of(mask > 0)) == 1


@pytest.mark.parametrize("mask", [np.zeros((40, 40), bool), np.ones((40, 40), bool)], ids=["nothing", "everything"])
def test_nothing_and_everything(mask: np.ndarray) -> None:
    assert len(instances_of(mask)) == int(mask.any())
    mask = np.zeros((40, 40), bool)
    mask[5, 5] = True
    assert len(instances_of(mask)) == 1
