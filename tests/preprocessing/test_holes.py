"""Through holes: a hand-made washer whose hole, and whose bright streak, are known."""

from __future__ import annotations

import cv2
import numpy as np

from fastener.preprocessing.holes import Ground, cut_holes

SIDE, CENTRE = 240, (120, 120)


def disc(radius: int) -> np.ndarray:
    """A filled disc in the middle, bool (240, 240)."""
    return cv2.circle(np.zeros((SIDE, SIDE), np.uint8), CENTRE, radius, 1, -1) > 0


def streak() -> np.ndarray:
    """Spikes of unequal length from the hole outwards, bool (240, 240)."""
    image = np.zeros((SIDE, SIDE), np.uint8)
    for i, degrees in enumerate(range(-35, 40, 10)):
        end = np.rint(np.array(CENTRE) + (75 + 10 * (i % 2)) * np.array([np.cos(a := np.deg2rad(degrees)), np.sin(a)]))
        cv2.line(image, CENTRE, tuple(end.astype(int).tolist()), 1, 7)
    return (image > 0) & ~disc(50)


def cut(face: float, *, edged: bool = True) -> np.ndarray:
    """What is cut out of a washer whose streak differs from the ground by ``face``; the hole may have an edge."""
    grain = np.random.default_rng(0).normal(0, 0.3, (SIDE, SIDE)).astype(np.float32)
    whole, hole = disc(100), disc(50)
    distance = np.where(whole & ~hole, 40.0, 1.0) + np.abs(grain)
    distance[streak()] = face
    edges = (disc(51) & ~disc(48)) if edged else np.zeros_like(hole)
    border = np.zeros_like(whole)
    border[:8] = True
    lightness = np.where(whole & ~hole, 50, 90).astype(np.float32) + grain
    ground = Ground(distance.astype(np.float32), lightness, border, threshold=20.0, usual=1.0)
    return whole & ~cut_holes(whole, ground, edges)


def test_a_bright_streak_beside_a_hole_stays_part() -> None:
    found = cut(8.0)
    assert not (found & streak() & ~disc(53)).any()
    assert found[disc(46)].all()


def test_a_hole_is_cut_out_with_and_without_an_edge() -> None:
    for edged in (True, False):
        found = cut(40.0, edged=edged)
        assert np.count_nonzero(found ^ disc(50)) < 0.08 * np.count_nonzero(disc(50))
