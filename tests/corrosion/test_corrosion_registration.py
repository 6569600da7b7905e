"""T0 laid over a later shot: known moves come back, other views are refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fastener.config import Config
from fastener.corrosion.registration import Registration, register
from fastener.corrosion.small_picture import picture_of
from fastener.corrosion.views import View, match_view

SETTINGS = Config().corrosion
SIDE = 192


def textured(outline: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A part with a random relief of its own, and its mask."""
    relief = np.random.default_rng(seed).normal(0, 1, (SIDE, SIDE)).astype(np.float32)
    relief = 50 + 15 * (cv2.GaussianBlur(relief, (0, 0), 6) / 0.05).clip(-2, 2)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    if outline == "disc":
        cv2.circle(mask, (SIDE // 2, SIDE // 2), 75, 1, -1)
    else:
        cv2.rectangle(mask, (70, 20), (122, 172), 1, -1)
    return np.where(mask > 0, relief, 90).astype(np.float32), mask.astype(bool)


def moved(
    lightness: np.ndarray, mask: np.ndarray, degrees: float, scale: float = 1.0, dx: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    move = cv2.getRotationMatrix2D(((SIDE - 1) / 2, (SIDE - 1) / 2), degrees, scale)
    move[0, 2] += dx
    size = (SIDE, SIDE)
    later = cv2.warpAffine(lightness, move, size, borderValue=90.0)
    return later, cv2.warpAffine(mask.astype(np.uint8), move, size, flags=cv2.INTER_NEAREST) > 0, move


def worst(found: np.ndarray, true: np.ndarray, mask: np.ndarray) -> float:
    """Greatest distance in pixels by which the part's pixels land apart."""
    points = np.argwhere(mask)[:, ::-1].astype(float)
    return float(np.abs(points @ (found - true)[:, :2].T + (found - true)[:, 2]).max())


def lay_over(first: tuple[np.ndarray, np.ndarray], later: tuple[np.ndarray, np.ndarray]) -> Registration:
    """Register two pairs of lightness and mask."""
    return register(picture_of(*first), picture_of(*later), settings=SETTINGS)


@pytest.mark.parametrize(
    ("outline", "degrees", "scale"), [("disc", 133.0, 1.0), ("disc", -20.0, 0.95), ("bar", 5.0, 1.04)]
)
def test_known_move_is_found_in_another_light(outline: str, degrees: float, scale: float) -> None:
    lightness, mask = textured(outline)
    later, later_mask, move = moved(lightness, mask, degrees, scale, 4.0)
    found = lay_over((lightness, mask), (0.7 * later + 20, later_mask))
    assert found.believable
    assert worst(found.transform, move, mask) < 3.0


def test_other_outline_and_other_surface_are_refused() -> None:
    disc, bar = textured("disc"), textured("bar")
    assert not lay_over(disc, bar).believable
    stranger = lay_over(bar, textured("bar", 5))
    assert stranger.overlap > SETTINGS.min_overlap
    assert not stranger.believable


def test_warp_and_coarse_agree() -> None:
    lightness, mask = textured("disc")
    later, later_mask, _ = moved(lightness, mask, 30.0)
    found = lay_over((lightness, mask), (later, later_mask))
    fine = found.warp(mask.astype(np.float32), (SIDE, SIDE))[::2, ::2] > 0.5
    coarse = found.coarse(2).warp(mask[::2, ::2].astype(np.float32), (SIDE // 2, SIDE // 2)) > 0.5
    assert (fine & coarse).sum() / (fine | coarse).sum() > 0.97


def test_empty_masks_do_not_fail() -> None:
    lightness, mask = textured("disc")
    assert not lay_over((lightness, np.zeros_like(mask)), (lightness, mask)).believable


def faced(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A turned face: the same rings on each, with marks of its own."""
    relief, mask = textured("disc", seed)
    rows, columns = np.indices(mask.shape) - SIDE / 2
    rings = 12 * np.sin(np.hypot(rows, columns) / 5.0)
    return np.where(mask, 50 + rings + 0.5 * (relief - 50), 90).astype(np.float32), mask


def test_a_number_that_t0_lacks_needs_marks_of_its_own() -> None:
    first, other = faced(0), faced(5)
    t0 = [View(picture_of(*first), None)]
    same, back = picture_of(*moved(*first, 40.0)[:2]), picture_of(*other)
    assert match_view(View(same, 2), t0, SIDE, SETTINGS).registration.believable
    assert match_view(View(back, None), t0, SIDE, SETTINGS).registration.believable  # its name says so
    doubtful = match_view(View(back, 2), t0, SIDE, SETTINGS)
    assert (doubtful.registration.believable, doubtful.unnumbered) == (False, True)


def test_a_mirrored_shot_is_told_from_a_turned_one() -> None:
    lightness, mask = textured("disc")
    mirrored = lay_over((lightness, mask), (np.ascontiguousarray(lightness[:, ::-1]), mask[:, ::-1]))
    turned = lay_over((lightness, mask), moved(lightness, mask, 100.0)[:2])
    assert (mirrored.mirrored, mirrored.believable) == (True, False)
    assert (turned.mirrored, turned.believable) == (False, True)


def test_deposit_on_two_fifths_of_the_surface_and_a_bite_leave_the_view() -> None:
    lightness, mask = textured("disc")
    field = cv2.GaussianBlur(np.random.default_rng(3).normal(size=mask.shape).astype(np.float32), (0, 0), 16)
    deposit = mask & (field > np.quantile(field[mask], 0.6))
    white = np.where(deposit, 160.0, lightness).astype(np.float32)
    assert lay_over((lightness, mask), (white, mask)).believable
    assert not lay_over(textured("disc", 5), (white, mask)).believable
    bitten = mask.copy()
    bitten[: SIDE // 2, SIDE // 2 + 20 :] = False
    later, _, move = moved(lightness, mask, 50.0)
    part = cv2.warpAffine(bitten.astype(np.uint8), move, (SIDE, SIDE), flags=cv2.INTER_NEAREST) > 0
    found = lay_over((lightness, mask), (later, part))
    assert (found.bitten, found.believable) == (True, True)
    assert worst(found.transform, move, mask) < 3.0
