"""How parts lie: hand-made masks of which angle, box and spread are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fastener.preprocessing.poses import Pose, lie_at_various_angles
from fastener.preprocessing.segmentation import Part


def bar(angle_deg: float, *, length: int = 120, width: int = 30, centre: tuple[int, int] = (100, 100)) -> Part:
    """A bar in a photo of 200 x 200 pixels; at 0 degrees it lies."""
    mask = np.zeros((200, 200), np.uint8)
    corners = cv2.boxPoints((centre, (length, width), angle_deg))
    cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 1)
    return Part(mask.astype(bool), 1, True)


@pytest.mark.parametrize("angle", [0.0, 20.0, 45.0, 70.0, 90.0, 160.0])
def test_the_box_is_that_of_the_upright_part(angle: float) -> None:
    pose = Pose.of(bar(angle))
    assert pose.alone
    np.testing.assert_allclose(pose.extent, [30, 120], atol=4)
    np.testing.assert_allclose(Pose.of(bar(angle), padding=0.1).extent, [54, 144], atol=4.8)


def test_a_part_that_is_cut_off_or_one_of_several_is_not_alone() -> None:
    assert not Pose.of(bar(0, centre=(30, 100))).alone
    assert not Pose.of(Part(bar(0).mask | bar(0, centre=(100, 20)).mask, 2, True)).alone
    assert not Pose.of(Part(np.ones((50, 50), bool), 0, False)).alone


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
    assert lie_at_various_angles([Pose.of(bar(angle)) for angle in angles]) == various


def test_what_most_photos_show_does_not_do() -> None:
    bars = [Pose.of(bar(angle)) for angle in range(0, 180, 9)]
    square = Pose.of(bar(0, length=60, width=60))
    assert np.isnan(square.angle)
    assert not lie_at_various_angles([*bars[2:], square, square])
    assert lie_at_various_angles([*bars[1:], square])
    assert not lie_at_various_angles([])
    assert not lie_at_various_angles(bars[:1])
