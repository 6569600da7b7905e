"""Frames of whole photos: worked examples, and what holds for all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastener.preprocessing.frame import frame_of


@pytest.mark.parametrize(
    ("sizes", "side", "frame"),
    [
        ([(512, 512)] * 3, 256, (256, 256)),
        ([(880, 350)], 256, (416, 160)),  # 256 * sqrt(880 / 350) = 406, 161
        ([(350, 880)], 256, (160, 416)),
        ([(100, 100), *[(400, 200)] * 4], 256, (352, 192)),  # 362, 181
        ([(100, 100), (400, 200), (400, 200)], 256, (256, 256)),  # they do not agree
        ([(10_000, 20)], 256, (512, 128)),
        ([], 320, (320, 320)),
        ([(300, 300)], 50, (64, 64)),
    ],
)
def test_worked_examples(sizes: list[tuple[int, int]], side: int, frame: tuple[int, int]) -> None:
    assert frame_of(sizes, side) == frame


@given(st.lists(st.tuples(st.integers(20, 5000), st.integers(20, 5000)), min_size=1, max_size=9), st.integers(64, 640))
def test_area_is_about_what_was_asked_for(sizes: list[tuple[int, int]], side: int) -> None:
    height, width = frame_of(sizes, side)
    assert height % 32 == width % 32 == 0
    assert 0.4 < height * width / max(side, 64) ** 2 < 2.6
    turned = frame_of([(w, h) for h, w in sizes], side)
    assert turned == (width, height)
