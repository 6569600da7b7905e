"""How parts lie: hand-made masks of which angle, box and spread are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fastener.preprocessing.poses import Pose, lie_at_various_angles, lie_in_various_places, need_no_search
from fastener.preprocessing.segmentation import Part


def bar(angle_deg: float, *, length: int = 120, width: int = 30, centre: tuple[int, int] = (100, 100)) -> Part:
    """A bar in a photo of 200 x 200 pixels; at 0 degrees it lies."""
    mask = np.zeros((200, 200), np.uint8)
    corners = cv2.boxPoints((centre, (length, width), angle_deg))
    cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 1)
    return Part(mask.astype(bool), 1, True)


def pose(part: Part, padding: float = 0.0, *, noise: int = 0) -> Pose:
    """The pose in a photo that shows the part dark on light ground."""
    photo = np.where(part.mask, 60, 220)[..., None].repeat(3, 2)
    grain = np.random.default_rng(noise).integers(-20, 21, photo.shape)
    return Pose.of((photo + grain).astype(np.uint8), part, padding)


@pytest.mark.parametrize("angle", [0.0, 20.0, 45.0, 70.0, 90.0, 160.0])
def test_the_box_is_that_of_the_upright_part(angle: float) -> None:
    found = pose(bar(angle))
    assert found.alone
    np.testing.assert_allclose(found.extent, [30, 120], atol=4)
    np.testing.assert_allclose(pose(bar(angle), padding=0.1).extent, [54, 144], atol=4.8)


def test_a_part_that_is_cut_off_or_one_of_several_is_not_alone() -> None:
    assert not pose(bar(0, centre=(30, 100))).alone
    assert not pose(Part(bar(0).mask | bar(0, centre=(100, 20)).mask, 2, True)).alone
    assert not pose(Part(np.ones((50, 50), bool), 0, False)).alone


@pytest.mark.parametrize(
    ("angles", "various"),
    [
        (range(0, 180, 9), True),
        ([0, 90] * 10, True),
        ([60, 90, 120] * 7, True),
        ([90] * 20, False),
        ([86, 88, 90, 92, 94] * 4, False),
        ([1, 179] * 10, False),  # an axis has no direction
    ],
)
def test_angles_vary_or_not(angles: list[int], various: bool) -> None:
    assert lie_at_various_angles([pose(bar(angle)) for angle in angles]) == various


def test_what_most_photos_show_does_not_do() -> None:
    bars = [pose(bar(angle)) for angle in range(0, 180, 9)]
    square = pose(bar(0, length=60, width=60))
    assert np.isnan(square.angle)
    assert not lie_at_various_angles([*bars[2:], square, square])
    assert lie_at_various_angles([*bars[1:], square])
    assert not lie_at_various_angles([])
    assert not lie_at_various_angles(bars[:1])


def test_parts_that_lie_in_place_are_not_searched_for() -> None:
    assert need_no_search([pose(bar(80, centre=(100 + i % 3, 100)), noise=i) for i in range(20)])


def test_parts_that_lie_anywhere_are_searched_for() -> None:
    assert not need_no_search([pose(bar(angle), noise=angle) for angle in range(0, 180, 9)])
    shifted = [pose(bar(90, centre=(40 + 6 * i, 100)), noise=i) for i in range(20)]
    assert not need_no_search(shifted)
    assert lie_in_various_places(shifted)
    assert not lie_at_various_angles(shifted)
    assert not lie_in_various_places([pose(bar(90, centre=(100 + i % 3, 100)), noise=i) for i in range(20)])


def test_parts_among_others_do_not_lie_in_places() -> None:
    shifted = [pose(bar(90, centre=(40 + 6 * i, 100)), noise=i) for i in range(20)]
    cut_off = pose(bar(0, centre=(30, 100)))
    assert lie_in_various_places([*shifted[1:], cut_off])
    assert not lie_in_various_places([*shifted[2:], cut_off, cut_off])
    assert not lie_in_various_places(shifted[:7])


def test_photos_without_parts_are_not_searched() -> None:
    nothing = [pose(Part(np.ones((50, 50), bool), 0, False), noise=i) for i in range(12)]
    assert need_no_search(nothing)
    several = [pose(bar(angle), noise=angle) for angle in range(0, 180, 9)]
    assert not need_no_search(several + nothing)
    assert need_no_search(several[:11] + nothing)


def test_few_photos_say_nothing_about_their_place() -> None:
    alike = [pose(bar(80), noise=i) for i in range(8)]
    assert need_no_search(alike)
    assert not need_no_search(alike[:7])
    assert not need_no_search([])


def test_photos_of_one_colour_do_not_correlate() -> None:
    blank = Pose(np.nan, np.ones(2), False, True, np.full((24, 24), 9.0), np.full((24, 24), 9.0))
    assert not need_no_search([blank] * 9)
