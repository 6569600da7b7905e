"""Known colours, and what counts as rust among them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastener.config import ColourSettings
from fastener.inspection.colour import relative_lab, rust_likelihood

WHITE = np.full(3, 255.0, np.float32)
RUST = [(120, 66, 34), (139, 69, 19), (150, 80, 40), (166, 90, 50), (96, 52, 30), (183, 100, 50)]
NOT_RUST = {
    "red thread-locking paint": (150, 30, 45),
    "brass": (190, 160, 80),
    "zinc yellow": (225, 205, 120),
    "steel": (130, 133, 138),
    "black oxide": (35, 34, 36),
    "green paint": (50, 110, 60),
    "blue paint": (40, 60, 150),
    "white": (250, 250, 250),
}


def pixels(*colours: tuple[int, int, int]) -> np.ndarray:
    return np.array([colours], np.uint8)


def linear(code: np.ndarray) -> np.ndarray:
    code = np.asarray(code, float) / 255
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def coded(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0, 1)
    return np.rint(255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055))


def test_white_reference_of_full_white_is_plain_cielab() -> None:
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    expected = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    assert np.abs(relative_lab(photo, WHITE) - expected).max() < 0.05


@given(st.lists(st.integers(60, 255), min_size=3, max_size=3))
def test_the_reference_itself_is_white(white: list[int]) -> None:
    lab = relative_lab(pixels((white[0], white[1], white[2])), np.array(white, np.float32))
    assert lab[0, 0] == pytest.approx([100, 0, 0], abs=0.02)


@settings(deadline=None)
@given(
    st.lists(st.floats(0.45, 1.0), min_size=3, max_size=3),
    st.lists(st.integers(60, 255), min_size=3, max_size=3),
)
def test_cast_and_exposure_cancel(light: list[float], colour: list[int]) -> None:
    """A scene under a light, measured against its white, looks as under plain white, but for 8-bit rounding."""
    seen = coded(linear(np.array(colour)) * light)
    white = coded(np.array(light)).astype(np.float32)
    there = relative_lab(seen[None, None].astype(np.uint8), white)[0, 0]
    here = relative_lab(np.array(colour, np.uint8)[None, None], WHITE)[0, 0]
    assert np.abs(there - here).max() < 2.5


@pytest.mark.parametrize("colour", RUST)
def test_browns_of_rust_are_rust(colour: tuple[int, int, int]) -> None:
    assert rust_likelihood(pixels(colour), WHITE, ColourSettings())[0, 0] > 0.5


@pytest.mark.parametrize("name", NOT_RUST)
def test_other_colours_are_not(name: str) -> None:
    assert rust_likelihood(pixels(NOT_RUST[name]), WHITE, ColourSettings())[0, 0] < 0.5


@pytest.mark.parametrize("grey", [80, 110, 160, 200])
def test_grey_steel_under_tungsten_light_is_not_rust(grey: int) -> None:
    tungsten = np.array([1.0, 0.62, 0.28])
    steel, white = coded(linear(np.full(3, grey)) * tungsten), coded(tungsten)
    photo = steel[None, None].astype(np.uint8)
    assert rust_likelihood(photo, white.astype(np.float32), ColourSettings())[0, 0] < 0.2
    # Against the camera's own white the same pixel looks clearly yellow.
    assert relative_lab(photo, WHITE)[0, 0, 2] > 14


def test_rust_under_tungsten_light_is_still_rust() -> None:
    tungsten = np.array([1.0, 0.75, 0.5])
    photo = coded(linear(np.array([150, 80, 40])) * tungsten)[None, None].astype(np.uint8)
    assert rust_likelihood(photo, coded(tungsten).astype(np.float32), ColourSettings())[0, 0] > 0.5


def test_at_least_half_exactly_inside_the_sector() -> None:
    rng = np.random.default_rng(1)
    photo = rng.integers(0, 256, (300, 300, 3), dtype=np.uint8)
    sector = ColourSettings()
    lightness, a, b = np.moveaxis(relative_lab(photo, WHITE).astype(float), -1, 0)
    hue, chroma = np.degrees(np.arctan2(b, a)) % 360, np.hypot(a, b)
    margins = [hue - sector.hue_min, sector.hue_max - hue, chroma - sector.min_chroma, sector.max_lightness - lightness]
    inside = np.all([margin >= 0 for margin in margins], axis=0)
    clear = np.min(np.abs(margins), axis=0) > 1e-3
    likelihood = rust_likelihood(photo, WHITE, sector)
    assert ((likelihood >= 0.5) == inside)[clear].all()
    assert 0 < inside.mean() < 1
    assert likelihood.dtype == np.float32
    assert (likelihood > 0).all()
    assert (likelihood < 1).all()


def test_settings_move_the_sector() -> None:
    paint = pixels((150, 30, 45))
    assert rust_likelihood(paint, WHITE, ColourSettings(hue_min=0))[0, 0] > 0.5
    assert rust_likelihood(pixels((150, 80, 40)), WHITE, ColourSettings(min_chroma=60))[0, 0] < 0.5
    assert rust_likelihood(pixels((150, 80, 40)), WHITE, ColourSettings(max_lightness=20))[0, 0] < 0.5
