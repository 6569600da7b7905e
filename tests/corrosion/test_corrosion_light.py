"""The colour of the light: from the background, from its shade where it is over-exposed, from other shots."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_parts import BOLT, DARK, add_noise, draw, plain_ground

from fastener.config import Config, PreprocessSettings
from fastener.corrosion import quality
from fastener.corrosion.light import burnt_out, find_light, is_cut_off, neutralised, share_the_light
from fastener.preprocessing.pipeline import Prepared, Preprocessor

PREPARE = Preprocessor(PreprocessSettings(size=128))
CAST = np.array([0.96, 1.0, 0.92])


def shaded_ground() -> np.ndarray:
    """A white sheet whose lower fifth lies in shade, in linear steps."""
    ground = plain_ground((250, 250, 250)).astype(float)
    ground[240:] *= 0.8
    return ground


def photograph(ground: np.ndarray, gain: float, cast: np.ndarray = CAST) -> tuple[np.ndarray, Prepared]:
    photo = draw(BOLT, 20.0, ground=np.clip(ground, 0, 255).astype(np.uint8))
    photo = np.clip(np.rint(photo * gain * cast), 0, 255).astype(np.uint8)
    return photo, PREPARE(photo)


def ratio(white: np.ndarray) -> np.ndarray:
    return np.asarray(white / white.max())


def test_cast_is_read_off_an_unclipped_background() -> None:
    light = find_light(*photograph(shaded_ground(), 0.8))
    assert not light.over_exposed
    assert light.certain
    np.testing.assert_allclose(ratio(light.white), CAST, atol=0.01)


def test_cast_is_read_off_the_shade_of_an_over_exposed_background() -> None:
    photo, prepared = photograph(shaded_ground(), 1.15)
    assert ratio(prepared.white).min() > 0.98  # the background itself says nothing any more
    light = find_light(photo, prepared)
    assert light.over_exposed
    assert light.certain
    np.testing.assert_allclose(ratio(light.white), CAST, atol=0.015)
    dimmed = np.rint(photo * 0.8).astype(np.uint8)
    np.testing.assert_allclose(ratio(find_light(dimmed, PREPARE(dimmed)).white), CAST, atol=0.02)


def test_without_shade_the_light_is_unknown_unless_another_shot_shows_it() -> None:
    blank = find_light(*photograph(plain_ground((250, 250, 250)), 1.15))
    assert blank.over_exposed
    assert not blank.certain
    shown = find_light(*photograph(shaded_ground(), 1.15))
    shared = share_the_light([blank, shown])
    assert shared[0].certain
    np.testing.assert_allclose(ratio(shared[0].white), ratio(shown.white), atol=1e-6)
    assert share_the_light([blank])[0] is blank


@pytest.mark.parametrize(("gain", "cut_off"), [(0.8, False), (1.15, True)])
def test_a_cut_off_background_is_told_also_if_the_photo_was_darkened_later(gain: float, cut_off: bool) -> None:
    ground = add_noise(shaded_ground().astype(np.uint8), 2.0)
    photo, prepared = photograph(ground, gain, np.ones(3))
    for dimmed in (1.0, 0.8, 0.6):
        dark = np.rint(photo * dimmed).astype(np.uint8)
        assert is_cut_off(prepared.white * dimmed, dark) is cut_off


def test_in_coloured_light_a_burnt_out_place_is_as_light_as_the_sheet_in_the_weaker_channels() -> None:
    photo = np.array([[(237, 249, 255), (220, 249, 255), (251, 252, 250), (249, 252, 250)]], np.uint8)
    assert burnt_out(photo, np.array([236.0, 250.0, 255.0])).tolist() == [[True, False, True, True]]
    for unburnt in ([215.0, 228.0, 233.0], [255.0, 255.0, 255.0]):
        assert burnt_out(photo, np.array(unburnt)).tolist() == [[False, False, True, False]]


def test_neutralised_photo_is_grey_where_the_part_is_and_white_where_the_background_is() -> None:
    photo, prepared = photograph(shaded_ground(), 1.15)
    light = find_light(photo, prepared)
    even = neutralised(photo, light)
    np.testing.assert_allclose(np.median(even[:40], axis=(0, 1)), light.white.max(), atol=1)
    part = PREPARE(photo).mask
    inside = Preprocessor(PreprocessSettings(size=128))(even).photo[part]
    red, green, blue = np.median(inside, axis=0)
    assert abs(red - green) <= 2
    # The drawn part is a little blue.
    assert abs((blue - green) - (DARK[2] - DARK[1]) * 1.15) <= 2


def test_flags_of_a_shot() -> None:
    settings = Config().corrosion

    def flags_of(photo: np.ndarray) -> list[str]:
        prepared = PREPARE(photo)
        return quality.flags(prepared, find_light(photo, prepared), settings)

    fine = draw(BOLT, 20.0)
    assert flags_of(fine) == []
    assert quality.CUT_OFF in flags_of(fine[110:])
    assert quality.OVER_EXPOSED in flags_of(np.clip(fine * 1.2, 0, 255).astype(np.uint8))
    assert quality.NO_PART in flags_of(add_noise(plain_ground(), 3.0))


def test_blur_lowers_sharpness_and_exposure_does_not() -> None:
    import cv2

    rng = np.random.default_rng(0)
    lightness = cv2.GaussianBlur(rng.normal(50, 20, (128, 128)).astype(np.float32), (0, 0), 1.5)
    mask = np.ones((128, 128), bool)
    sharp = quality.sharpness(lightness, mask)
    assert quality.sharpness(cv2.GaussianBlur(lightness, (0, 0), 3.0), mask) < 0.35 * sharp
    np.testing.assert_allclose(quality.sharpness(lightness * 0.7 + 5, mask), sharp, rtol=0.01)
