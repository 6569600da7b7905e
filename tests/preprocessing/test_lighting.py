"""Light correction, the white reference, and colours that stay the photo's own."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from drawn_parts import BOLT, RUST, draw, plain_ground, prepare

from fastener.preprocessing.lighting import (
    equalise_lightness,
    gray_world_gains,
    inpaint_highlights,
    white_balance,
    white_reference,
)
from fastener.preprocessing.segmentation import find_part

# Light and colour


def test_gray_world_makes_the_average_grey() -> None:
    rng = np.random.default_rng(0)
    photo = (rng.integers(40, 200, (50, 60, 1)) * np.array([1.0, 0.9, 0.8])).astype(np.uint8)
    balanced = white_balance(photo, gray_world_gains(photo))
    means = balanced.reshape(-1, 3).mean(axis=0)
    assert np.ptp(means) < 1.0


def test_a_ground_of_one_strong_colour_says_nothing_of_the_light() -> None:
    np.testing.assert_array_equal(gray_world_gains(plain_ground(RUST)), np.ones(3, np.float32))


def test_only_highlights_of_the_part_are_filled() -> None:
    photo = np.full((60, 60, 3), 90, np.uint8)
    photo[20:24, 20:24] = 255
    photo[20:24, 50:54] = 255
    part = np.zeros((60, 60), bool)
    part[:, :40] = True
    filled = inpaint_highlights(photo, part, 250)
    assert np.abs(filled[:, :40].astype(int) - 90).max() <= 2
    assert (filled[20:24, 50:54] == 255).all()
    assert photo[21, 21, 0] == 255


def test_a_bright_face_stays_and_a_spot_on_it_apart_is_filled() -> None:
    photo = np.full((60, 60, 3), 90, np.uint8)
    photo[5:15, 5:25] = 255
    photo[40:42, 40:42] = 255
    filled = inpaint_highlights(photo, np.ones((60, 60), bool), 250)
    assert (filled[5:15, 5:25] == 255).all()
    assert np.abs(filled[38:44, 38:44].astype(int) - 90).max() <= 2


def test_clahe_changes_lightness_but_not_colour() -> None:
    photo = draw(BOLT, 20.0, (130, 100, 80))
    lab, flat = (cv2.cvtColor(p, cv2.COLOR_RGB2LAB).astype(int) for p in (equalise_lightness(photo, 2.0, 8), photo))
    assert np.abs(lab[:, :, 0] - flat[:, :, 0]).mean() > 1.0
    inside = find_part(photo).mask
    assert np.abs(lab[:, :, 1:] - flat[:, :, 1:])[inside].mean() < 1.5
    np.testing.assert_array_equal(equalise_lightness(photo, 0.0, 8), photo)


def test_the_white_reference_is_the_ground_away_from_the_part() -> None:
    ground = (210, 200, 180)
    white, is_background = white_reference(draw(BOLT, 0.0, RUST, plain_ground(ground)), find_part(draw(BOLT)).mask)
    assert is_background
    assert white.dtype == np.float32
    np.testing.assert_allclose(white, ground, atol=1.0)


@pytest.mark.parametrize("ground", [(15, 15, 15), (180, 90, 40)])
def test_dark_and_coloured_grounds_are_no_white_reference(ground: tuple[int, int, int]) -> None:
    photo = draw(BOLT, 0.0, (200, 202, 205), plain_ground(ground))
    white, is_background = white_reference(photo, find_part(photo).mask)
    assert not is_background
    assert white.tolist() == [255.0, 255.0, 255.0]


def test_a_grey_sheet_shows_the_colour_of_the_light_but_not_its_level() -> None:
    photo = draw(BOLT, 0.0, (30, 30, 30), plain_ground((120, 110, 100)))
    white, is_background = white_reference(photo, find_part(photo).mask)
    assert not is_background
    np.testing.assert_allclose(white, (255.0, 255.0 * 110 / 120, 255.0 * 100 / 120), atol=3.0)


def test_without_a_background_the_cameras_white_is_trusted() -> None:
    white, is_background = white_reference(plain_ground(RUST), np.ones((300, 360), bool))
    assert not is_background
    assert white.tolist() == [255.0, 255.0, 255.0]


def test_measured_colours_are_the_photos_own() -> None:
    photo = draw(BOLT, 20.0, RUST, plain_ground((230, 215, 190)))
    prepared = prepare(photo)
    inside = cv2.erode(prepared.mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    np.testing.assert_allclose(prepared.photo[inside].mean(axis=0), RUST, atol=1.5)
    assert np.abs(prepared.image[inside].mean(axis=0) - RUST).max() > 5.0
    assert (prepared.image[~prepared.mask] == 128).all()
    assert prepared.white_is_background
    assert (prepare(photo, background=7).image[~prepared.mask] == 7).all()


def test_inputs_are_not_changed_and_results_repeat() -> None:
    photo = draw(BOLT, 20.0)
    before = photo.copy()
    one, two = prepare(photo), prepare(photo)
    np.testing.assert_array_equal(photo, before)
    np.testing.assert_array_equal(one.image, two.image)
    np.testing.assert_array_equal(one.transform, two.transform)
