"""Overlays and sheets hold the pixels they claim."""

from __future__ import annotations

import cv2
import matplotlib
import numpy as np
import pytest

from fastener.inspection.drawing import BOX_COLOUR, SHEET, contact_sheet, draw_boxes, heatmap_layer, heatmap_overlay


def solid(height: int, width: int, colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def test_overlay_pixel_by_pixel() -> None:
    image = solid(1, 4, (100, 150, 200))
    score_map = np.array([[1.0, 3.0, 99.0, np.nan]])
    result = heatmap_overlay(image, score_map, vmin=1.0, vmax=5.0, alpha=0.5)
    inferno = matplotlib.colormaps["inferno"]
    half, full = (np.array(inferno(level)[:3]) * 255 for level in (128, 255))
    assert result[0, 0].tolist() == [100, 150, 200]  # vmin: the photo itself
    assert np.abs(result[0, 1] - (0.5 * image[0, 1] + 0.5 * half)).max() <= 0.5
    assert np.abs(result[0, 2] - (0.5 * image[0, 2] + 0.5 * full)).max() <= 0.5  # above vmax: clipped
    assert result[0, 3].tolist() == [40, 60, 80]  # not inspected: dimmed
    assert image[0, 3].tolist() == [100, 150, 200]
    assert np.isnan(score_map[0, 3])


def test_overlay_lightness_rises_over_a_dark_photo() -> None:
    ramp = heatmap_overlay(solid(1, 200, (0, 0, 0)), np.linspace(0, 1, 200)[None], 0.0, 1.0, alpha=1.0)
    lightness = cv2.cvtColor(ramp.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0, :, 0]
    assert np.diff(lightness).min() > -0.7
    assert lightness[-1] > 95


def test_what_lies_far_above_the_scale_is_its_upper_end() -> None:
    values = np.array([[1e-6, 1, 17, 1e9, np.inf]], np.float32)
    layer = heatmap_layer(values, 5e-7, 2.5e-6)
    assert (layer[0, 1:] == layer[0, 1]).all()
    assert layer[0, 1, 3] > layer[0, 0, 3]


def test_overlay_rejects_what_does_not_fit() -> None:
    image = solid(4, 5, (0, 0, 0))
    with pytest.raises(ValueError, match=r"\(5, 4\) and image \(4, 5\)"):
        heatmap_overlay(image, np.zeros((5, 4)), 0, 1)
    with pytest.raises(ValueError, match="vmin"):
        heatmap_overlay(image, np.zeros((4, 5)), 1, 1)
    with pytest.raises(ValueError, match="alpha"):
        heatmap_overlay(image, np.zeros((4, 5)), 0, 1, alpha=1.5)
    with pytest.raises(ValueError, match="float64"):
        heatmap_overlay(image.astype(float), np.zeros((4, 5)), 0, 1)


def runs(row: np.ndarray, colour: tuple[int, int, int]) -> list[int]:
    """Lengths of the stretches of one colour along a line of pixels."""
    hit = np.r_[False, (row == colour).all(axis=1), False].astype(int)
    return (np.flatnonzero(np.diff(hit) < 0) - np.flatnonzero(np.diff(hit) > 0)).tolist()


def test_contact_sheet_places_pictures_and_keeps_proportions() -> None:
    red, blue = (200, 0, 0), (0, 0, 200)
    sheet = contact_sheet([[solid(60, 60, red), solid(50, 100, blue)], [solid(300, 300, blue)]], ["a", "b"], cell=120)
    reds, blues = (sheet == red).all(axis=2), (sheet == blue).all(axis=2)
    assert reds.sum() == 120 * 120
    assert blues.sum() == 120 * 60 + 120 * 120
    rows, columns = np.flatnonzero(reds.any(axis=1)), np.flatnonzero(reds.any(axis=0))
    assert rows[-1] - rows[0] == columns[-1] - columns[0] == 119
    middle = sheet[(rows[0] + rows[-1]) // 2]
    assert runs(middle, red) == runs(middle, blue) == [120]
    assert np.flatnonzero(blues.any(axis=0))[0] == columns[0]  # the second row starts below the first


def ink(sheet: np.ndarray) -> np.ndarray:
    return (sheet != SHEET).any(axis=2)


def test_contact_sheet_captions_are_shortened_in_the_middle() -> None:
    picture = solid(8, 8, SHEET)  # leaves only the writing
    long_name = "first_" + "x" * 200 + "_last.jpg"
    sheet = contact_sheet([[picture]], [long_name], cell=200)
    other_middle = contact_sheet([[picture]], ["first_" + "x" * 150 + "_last.jpg"], cell=200)
    other_start = contact_sheet([[picture]], ["FIRST_" + "x" * 200 + "_last.jpg"], cell=200)
    other_end = contact_sheet([[picture]], ["first_" + "x" * 200 + "_LAST.jpg"], cell=200)
    columns = np.flatnonzero(ink(sheet).any(axis=0))
    margin = (sheet.shape[1] - 200) // 2
    assert margin <= columns[0]
    assert columns[-1] < sheet.shape[1] - margin
    assert columns[-1] > 180
    assert np.array_equal(sheet, other_middle)
    assert not np.array_equal(sheet, other_start)
    assert not np.array_equal(sheet, other_end)
    letters = np.flatnonzero(ink(sheet).any(axis=1))
    assert letters[-1] - letters[0] >= 9  # readable: ascender to descender in pixels


def test_contact_sheet_titles_and_odd_captions() -> None:
    picture = solid(8, 8, SHEET)
    plain = contact_sheet([[picture, picture]], [""])
    titled = contact_sheet([[picture, picture]], [""], column_titles=["photo", "map"])
    assert not ink(plain).any()
    assert ink(titled).any()
    assert titled.shape[0] > plain.shape[0]
    assert titled.shape[1] == plain.shape[1]
    assert np.array_equal(contact_sheet([[picture]], ["a\nb"]), contact_sheet([[picture]], ["a b"]))


def test_contact_sheet_rejects_what_does_not_match() -> None:
    picture = solid(8, 8, (0, 0, 0))
    with pytest.raises(ValueError, match="0 rows"):
        contact_sheet([], [])
    with pytest.raises(ValueError, match="1 rows, 2 captions"):
        contact_sheet([[picture]], ["a", "b"])
    with pytest.raises(ValueError, match="1 column titles for 2"):
        contact_sheet([[picture, picture]], ["a"], column_titles=["photo"])
    with pytest.raises(ValueError, match=r"uint8 \(8, 8\)"):
        contact_sheet([[picture[..., 0]]], ["a"])


def test_boxes_are_framed_inside_and_the_photo_is_kept() -> None:
    photo = np.full((100, 120, 3), 90, np.uint8)
    drawn = draw_boxes(photo, [(20, 30, 60, 70)])
    assert (photo == 90).all()
    changed = np.argwhere((drawn != photo).any(2))
    # A frame two pixels wide is centred on the outermost pixels of the box.
    assert np.abs(changed.min(0) - [30, 20]).max() <= 1
    assert np.abs(changed.max(0) - [69, 59]).max() <= 1
    assert tuple(drawn[30, 40]) == BOX_COLOUR
    assert (drawn[40:60, 30:50] == 90).all()


@pytest.mark.parametrize("box", [(0, 0, 30, 20), (170, 180, 200, 200), (0, 0, 200, 200), (160, 40, 190, 60)])
def test_captions_stay_inside_the_picture(box: tuple[int, int, int, int]) -> None:
    """Nothing of a caption is cut: it covers as much as one that has room all round."""
    photo = np.full((200, 200, 3), 90, np.uint8)

    def covered(where: tuple[int, int, int, int]) -> int:
        plate = (draw_boxes(photo, [where], ["crack"]) != draw_boxes(photo, [where])).any(2)
        rows, columns = np.nonzero(plate)
        return int((rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1))

    assert covered(box) >= 0.8 * covered((60, 100, 90, 130))


def test_a_layer_over_a_photo_is_the_overlay() -> None:
    rng = np.random.default_rng(3)
    photo = rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)
    values = np.where(rng.random((20, 30)) < 0.1, np.nan, rng.uniform(0, 6, (20, 30)))
    layer = heatmap_layer(values, 1.0, 5.0)
    opacity = layer[..., 3:] / 255
    laid = (1 - opacity) * photo + opacity * layer[..., :3]
    assert np.abs(laid - heatmap_overlay(photo, values, 1.0, 5.0)).max() < 2
    with pytest.raises(ValueError, match="vmin"):
        heatmap_layer(values, 1.0, 1.0)
