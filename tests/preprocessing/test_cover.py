"""Borders finer than pixels, without the shadow; and parts whose outline cannot be seen."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from drawn_parts import BOLT, WHITE, draw, plain_ground, prepare, ring

from fastener.preprocessing.cover import cover_of, sharp_points, without_shadow
from fastener.preprocessing.pieces import piece_of


def test_closed_valleys_open_and_a_bright_rim_stays() -> None:
    photo = np.full((128, 128, 3), 235, np.uint8)
    photo[30:98, 30:98] = 80
    photo[60:66, 92:98] = 235  # a valley that closing would have filled
    photo[30:98, 30:32] = 225  # a bright rim
    mask = np.zeros((128, 128), bool)
    mask[30:98, 30:98] = True
    cover = cover_of(photo, mask)
    assert cover[61:65, 94:97].max() < 0.5
    assert cover[40:90, 31].min() > 0.5
    assert cover[64, 64] == 1
    assert cover[10, 10] == 0


def test_border_moves_off_a_shadow() -> None:
    rows, columns = np.indices((200, 200), np.float32)
    distance = np.hypot(rows - 100, columns - 100)
    ground = 230 - 70 * np.exp(-((np.maximum(distance - 60, 0) / 10) ** 2)) * (columns > 100)
    sharp = np.where(distance < 60, 60, ground).astype(np.uint8)[..., None].repeat(3, axis=2)
    photo = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 0.6), np.uint8)
    t = np.linspace(0, 2 * np.pi, 256, endpoint=False)
    radius = np.where(np.cos(t) > 0.3, 68.0, 60.0)
    points = np.stack([100 + radius * np.cos(t), 100 + radius * np.sin(t)], axis=1)
    moved = np.hypot(*(without_shadow(points, photo[..., 0].astype(np.float32)) - 100).T)
    assert np.median(np.abs(moved - 60)) < 0.6
    assert np.quantile(np.abs(moved - 60), 0.9) < 1.5


def test_a_whole_part_is_one_piece() -> None:
    prepared = prepare(draw(BOLT), size=128)
    piece = piece_of(prepared)
    assert isinstance(piece, np.ndarray)
    assert (piece != prepared.mask).mean() < 0.01


@pytest.mark.parametrize(
    ("photo", "why"),
    [
        (plain_ground(), "no part was found"),
        (draw(BOLT, centre=(180.0, 20.0)), "cut off by the photo's border"),
        (draw(BOLT, centre=(60.0, 150.0), ground=draw(BOLT, centre=(280.0, 150.0))), "several pieces"),
    ],
    ids=["nothing", "cut", "two"],
)
def test_photos_without_an_outline_say_why(photo: np.ndarray, why: str) -> None:
    piece = piece_of(prepare(photo, size=128))
    assert isinstance(piece, str)
    assert why in piece


def test_masks_of_nothing_one_pixel_and_everything() -> None:
    prepared = prepare(ring(80, 30), size=128)
    nothing = np.zeros_like(prepared.mask)
    assert piece_of(replace(prepared, mask=nothing)) == "the part is too small"
    nothing[60, 60] = True
    assert piece_of(replace(prepared, mask=nothing)) == "the part is too small"
    # Everything: no part was sought, so it is sought in the frame.
    everything = replace(prepared, mask=np.ones_like(nothing), photo=np.full_like(prepared.photo, WHITE))
    assert piece_of(everything) == "no part was found"


def test_a_border_in_a_soft_shadow_is_hidden() -> None:
    rows, columns = np.indices((200, 200), np.float32)
    inside = (np.hypot(rows - 100, columns - 100) < 60).astype(np.float32)
    soft = np.where(columns > 140, cv2.GaussianBlur(inside, (0, 0), 12), cv2.GaussianBlur(inside, (0, 0), 0.8))
    t = np.linspace(0, 2 * np.pi, 256, endpoint=False)
    seen = sharp_points(100 + 60 * np.stack([np.cos(t), np.sin(t)], axis=1), 230 - 150 * soft)
    assert not seen[np.cos(t) > 0.8].any()
    assert seen[np.cos(t) < 0.5].all()
