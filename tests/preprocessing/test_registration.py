"""One affine transform takes a photo to the canonical frame and a map back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from drawn_parts import BOLT, DARK, WHITE, draw, mask_in_photo, plain_ground, prepare
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fastener.preprocessing.pipeline import map_to_photo
from fastener.preprocessing.registration import (
    apply,
    compose,
    frame_transform,
    inside_photo,
    invert,
    part_transform,
    shrink,
    upright_angle,
    warp,
)

# Geometry


@pytest.mark.parametrize("degrees", [0.0, 28.0])
@pytest.mark.parametrize("factor", [1, 4])
def test_a_map_goes_back_to_where_it_came_from(degrees: float, factor: int) -> None:
    small = draw(BOLT, degrees)
    photo = cv2.resize(small, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    prepared = prepare(photo, size=256)
    y, x = np.mgrid[0:256, 0:256].astype(np.float32)
    back = np.stack([map_to_photo(m, prepared.transform, prepared.photo_size) for m in (x, y)], axis=2)
    seen = np.isfinite(back[:, :, 0])
    rows, cols = np.nonzero(seen)
    expected = apply(prepared.transform, np.stack([cols, rows], axis=1).astype(float))
    # The outermost half pixel of the frame repeats its border.
    clipped = np.clip(expected, 0, 255)
    np.testing.assert_allclose(back[seen], clipped, atol=0.05)
    all_rows, all_cols = np.mgrid[0 : photo.shape[0], 0 : photo.shape[1]].reshape(2, -1)
    places = apply(prepared.transform, np.stack([all_cols, all_rows], axis=1).astype(float))
    looked = ((places > -0.5) & (places < 255.5)).all(axis=1).reshape(photo.shape[:2])
    assert (looked != seen).mean() < 0.001


@pytest.mark.parametrize("degrees", [0.0, 28.0])
def test_the_mask_put_back_covers_the_part_to_half_a_pixel(degrees: float) -> None:
    photo = draw(BOLT, degrees)
    back = mask_in_photo(prepare(photo))
    truth = (photo[:, :, 0] < (WHITE[0] + DARK[0]) / 2).astype(np.uint8)
    assert not (back & (cv2.dilate(truth, np.ones((3, 3), np.uint8)) == 0)).any()
    assert not (~back & (cv2.erode(truth, np.ones((5, 5), np.uint8)) > 0)).any()
    centre = np.argwhere(back).mean(axis=0) - np.argwhere(truth > 0).mean(axis=0)
    assert np.abs(centre).max() < 0.5


def test_switched_off_it_is_the_papers_resize_and_centre_crop() -> None:
    rng = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(rng.normal(128.0, 400.0, (700, 900, 3)), (0, 0), 4.0)
    photo = np.clip(smooth, 0, 255).astype(np.uint8)
    prepared = prepare(photo, enabled=False, size=224, center_crop=0.875)
    resized = Image.fromarray(photo).resize((256, 256), Image.Resampling.BILINEAR)
    expected = np.asarray(resized)[16:240, 16:240].astype(float)
    difference = np.abs(prepared.image - expected)
    assert difference.mean() < 4.0
    shifted = np.abs(prepared.image[:, 1:] - expected[:, :-1]).mean()
    assert difference.mean() < 0.4 * shifted
    assert prepared.mask.all()
    assert prepared.part_found
    np.testing.assert_array_equal(prepared.image, prepared.photo)
    corners = apply(invert(prepared.transform), np.array([[-0.5, -0.5], [223.5, 223.5]]))
    np.testing.assert_allclose(corners, np.array([[0.0625 * 900, 0.0625 * 700], [0.9375 * 900, 0.9375 * 700]]) - 0.5)


def test_shrinking_averages_like_pils_box_filter() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (640, 960, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(photo).resize((96, 64), Image.Resampling.BOX)).astype(int)
    assert np.abs(warp(photo, frame_transform((640, 960), (64, 96)), (64, 96)) - expected).max() <= 1


@pytest.mark.parametrize("degrees", [0.0, 20.0, 45.0])
def test_fine_stripes_turn_grey_instead_of_aliasing(degrees: float) -> None:
    stripes = np.zeros((900, 900, 3), np.uint8)
    stripes[:, ::3] = 255
    a = np.deg2rad(degrees)
    linear = 0.21 * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    transform = np.column_stack([linear, np.array([60.0, 60.0]) - linear @ np.array([449.5, 449.5])])
    drawn = warp(stripes, transform, (121, 121))
    assert np.abs(drawn[30:91, 30:91].astype(float) - 85.0).max() < 40.0


def test_outside_the_photo_its_border_is_repeated() -> None:
    photo = np.full((40, 40, 3), 50, np.uint8)
    photo[:, 0] = 200
    drawn = warp(photo, np.array([[1.0, 0, 10], [0, 1.0, 0]]), (40, 60))
    assert (drawn[:, :10] == 200).all()
    assert (drawn[:, 50:] == 50).all()


angles = st.floats(-3.2, 3.2)
zooms = st.floats(0.05, 5.0)
offsets = st.floats(-500.0, 500.0)


@given(angles, zooms, offsets, offsets)
@settings(max_examples=40, deadline=None)
def test_transforms_compose_and_invert(angle: float, zoom: float, dx: float, dy: float) -> None:
    c, s = zoom * np.cos(angle), zoom * np.sin(angle)
    transform = np.array([[c, -s, dx], [s, c, dy]])
    points = np.random.default_rng(0).uniform(-100, 100, (10, 2))
    np.testing.assert_allclose(apply(invert(transform), apply(transform, points)), points, atol=1e-6)
    twice = apply(transform, apply(transform, points))
    np.testing.assert_allclose(apply(compose(transform, transform), points), twice, atol=1e-6)


@given(st.integers(0, 2**32 - 1), angles, st.floats(0.0, 0.5), st.sampled_from([(64, 64), (50, 120), (300, 90)]))
@settings(max_examples=40, deadline=None)
def test_the_whole_part_is_in_the_frame_at_any_angle(
    seed: int, angle: float, padding: float, size: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((80, 100), np.uint8)
    cv2.fillPoly(mask, [rng.integers(0, 80, (5, 2), dtype=np.int32)], 1)
    transform = part_transform(mask > 0, np.eye(2, 3), angle, padding, size)
    rows, cols = np.nonzero(mask)
    placed = apply(transform, np.stack([cols, rows], axis=1).astype(float))
    assert (placed > -0.5 + 1e-6).all()
    assert (placed < np.array(size[::-1]) - 0.5 - 1e-6).all()


def test_shrink_says_where_each_pixel_went() -> None:
    photo = np.zeros((301, 1001, 3), np.uint8)
    photo[150, 700] = 255
    small, transform = shrink(photo, 200)
    assert small.shape == (60, 200, 3)
    peak = np.unravel_index(np.argmax(small[:, :, 0]), small.shape[:2])
    np.testing.assert_allclose(apply(transform, np.array([[700.0, 150.0]]))[0], peak[::-1], atol=0.5)
    same, identity = shrink(photo, 2000)
    assert same is photo
    np.testing.assert_allclose(identity, np.eye(2, 3), atol=1e-9)


def test_inside_photo_marks_the_letterbox() -> None:
    inside = inside_photo(np.array([[0.5, 0, -0.25], [0, 0.5, 24.75]]), (300, 400), (200, 200))
    assert inside[25:175].all()
    assert inside.sum() == 150 * 200


def test_upright_angle_of_an_empty_mask_is_zero() -> None:
    assert upright_angle(np.zeros((30, 30), bool)) == 0.0


@pytest.mark.parametrize("shape", [(20, 20), (20, 2000), (2000, 20)])
@pytest.mark.parametrize("enabled", [True, False])
def test_photos_of_any_proportion_are_prepared(shape: tuple[int, int], enabled: bool) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    prepared = prepare(photo, enabled=enabled, size=(48, 64))
    assert prepared.image.shape == prepared.photo.shape == (48, 64, 3)
    assert prepared.mask.shape == (48, 64)
    assert prepared.photo_size == shape
    assert prepared.transform.dtype == np.float64
    assert np.isfinite(prepared.white).all()


def test_a_small_part_in_a_large_photo_keeps_its_detail() -> None:
    photo = plain_ground(size=(1800, 2400))
    for row in range(700, 1000, 6):
        photo[row : row + 3, 1200:1350] = DARK
        photo[row + 3 : row + 6, 1200:1350] = (110, 110, 110)
    prepared = prepare(photo, size=512, clahe_clip_limit=0.0)
    assert prepared.part_found
    column = prepared.image[150:350, 256, 0].astype(float)
    assert np.ptp(column) > 40.0
