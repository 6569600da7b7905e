"""Scale bars of known length in photos, and photos without one."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from fastener.corrosion.scale_bar import bar_length
from fastener.datasets.images import read_image
from fastener.datasets.synthetic.parts import render_part


@cache
def _rendered(seed: int, background: str) -> np.ndarray:
    return render_part(seed, "nut", "black", size=(480, 640), background=background).image


def photo(seed: int = 3, background: str = "white") -> np.ndarray:
    return np.array(_rendered(seed, background))


def compressed(image: np.ndarray) -> np.ndarray:
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))


def draw_plain(image: np.ndarray, length: int, colour: tuple[int, int, int]) -> None:
    cv2.rectangle(image, (40, 455), (40 + length - 1, 460), colour, -1)


def draw_with_ends(image: np.ndarray, length: int, colour: tuple[int, int, int]) -> None:
    right = 620
    cv2.rectangle(image, (right - length + 1, 20), (right, 22), colour, -1)
    for x in (right - length + 1, right):
        cv2.line(image, (x, 14), (x, 28), colour, 1)


def draw_in_a_box(image: np.ndarray, length: int, colour: tuple[int, int, int]) -> None:
    cv2.rectangle(image, (634 - length, 440), (638, 474), (150, 150, 150), -1)
    cv2.rectangle(image, (630 - length, 436), (635, 470), (255, 255, 255), -1)
    cv2.rectangle(image, (630 - length, 436), (635, 470), colour, 1)
    cv2.rectangle(image, (633 - length, 440), (632, 441), colour, -1)
    cv2.putText(image, "2 mm", (550, 462), cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour)


@pytest.mark.parametrize("draw", [draw_plain, draw_with_ends, draw_in_a_box])
@pytest.mark.parametrize("length", [60, 133])
@pytest.mark.parametrize(("colour", "background"), [((0, 0, 0), "white"), ((0, 0, 255), "white"), ((0, 0, 0), "cloth")])
def test_a_drawn_bar_is_measured(draw, length: int, colour: tuple[int, int, int], background: str) -> None:  # type: ignore[no-untyped-def]
    image = photo(background=background)
    draw(image, length, colour)
    assert bar_length(image) == length
    assert bar_length(compressed(image)) == pytest.approx(length, abs=2)


def test_a_white_bar_on_a_dark_strip_is_measured() -> None:
    image = photo()
    image[440:] = 0
    cv2.rectangle(image, (100, 458), (219, 461), (255, 255, 255), -1)
    assert bar_length(compressed(image)) == pytest.approx(120, abs=2)


@pytest.mark.parametrize("seed", range(4))
def test_a_photo_without_a_bar_has_none(seed: int) -> None:
    image = photo(seed, "white" if seed % 2 else "cloth")
    assert bar_length(image) is None
    assert bar_length(compressed(image)) is None
    assert bar_length(np.full((40, 40, 3), 255, np.uint8)) is None


@pytest.mark.real_data
def test_bars_of_a_microscope() -> None:
    root = os.environ.get("FASTENER_DATA_DIR")
    if root is None:
        pytest.skip("FASTENER_DATA_DIR is not set")
    for path in sorted(Path(root, "components").glob("*-T48*.jpg")):
        image = read_image(path)
        assert bar_length(image) == 220, path.name
        assert bar_length(image[:1395]) is None, path.name
