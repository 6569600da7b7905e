"""Drawn and real parts come out upright, whole and cut from their ground."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_parts import (
    BOLT,
    DARK,
    HEXAGON,
    ROD,
    RUST,
    WHITE,
    add_noise,
    draw,
    mask_in_photo,
    overlap,
    plain_ground,
    prepare,
    ring,
    tilt,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from fastener.datasets.images import list_images, read_image
from fastener.datasets.synthetic.parts import render_part
from fastener.preprocessing.otsu import otsu_threshold
from fastener.preprocessing.segmentation import find_part

# Alignment


@pytest.mark.parametrize("degrees", [*range(-80, 100, 20), -30, -10, 10, 30])
@pytest.mark.parametrize("shape", [BOLT, ROD])
def test_a_tilted_part_comes_out_upright(shape: np.ndarray, degrees: float) -> None:
    prepared = prepare(draw(shape, degrees))
    assert prepared.part_found
    assert tilt(prepared.mask) < 2.0


@pytest.mark.parametrize("degrees", range(0, 360, 30))
def test_the_heavier_end_is_always_on_top(degrees: float) -> None:
    mask = prepare(draw(BOLT, degrees)).mask
    widths = mask.sum(axis=1)
    assert widths[: len(widths) // 3].max() > 1.5 * widths[len(widths) // 2 :].max()


@pytest.mark.parametrize("shape", [BOLT, ROD])
@pytest.mark.parametrize("pose", [0.0, 45.0, 90.0, -45.0])
def test_a_small_change_of_pose_does_not_flip_the_part(shape: np.ndarray, pose: float) -> None:
    linear = [prepare(draw(shape, pose + change)).transform[:, :2] for change in (-4.0, 0.0, 4.0)]
    for other in (linear[0], linear[2]):
        relative = other @ np.linalg.inv(linear[1])
        assert abs(np.degrees(np.arctan2(relative[1, 0], relative[0, 0]))) < 6.0


@pytest.mark.parametrize("degrees", [0.0, 10.0, 25.0])
def test_parts_without_a_long_axis_are_not_turned(degrees: float) -> None:
    for photo in (draw(HEXAGON, degrees), ring(70, 40)):
        transform = prepare(photo).transform
        assert transform[0, 1] == transform[1, 0] == 0.0


def test_alignment_can_be_switched_off() -> None:
    transform = prepare(draw(BOLT, 30.0), align=False).transform
    assert transform[0, 1] == transform[1, 0] == 0.0
    assert tilt(prepare(draw(BOLT, 30.0), align=False).mask) == pytest.approx(30.0, abs=2.0)


@pytest.mark.parametrize("degrees", [0.0, 33.0, 45.0, 90.0])
@pytest.mark.parametrize("size", [128, (96, 200)])
def test_nothing_is_clipped_and_the_aspect_ratio_stays(degrees: float, size: int | tuple[int, int]) -> None:
    photo = draw(BOLT, degrees)
    prepared = prepare(photo, size=size, padding=0.05)
    mask = prepared.mask
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert not border.any()
    scale = np.linalg.norm(prepared.transform[:, 0])
    assert np.linalg.norm(prepared.transform[:, 1]) == pytest.approx(scale)
    assert prepared.transform[:, 0] @ prepared.transform[:, 1] == pytest.approx(0.0, abs=1e-9)
    drawn = cv2.contourArea(BOLT.astype(np.float32))
    assert mask.sum() == pytest.approx(drawn * scale**2, rel=0.03)


def test_padding_and_size_set_the_scale() -> None:
    prepared = prepare(draw(ROD), size=200, padding=0.25)
    assert np.ptp(np.nonzero(prepared.mask)[0]) + 1 == pytest.approx(200 / 1.5, abs=2)


# The mask


def test_light_on_dark_and_dark_on_light() -> None:
    for part, ground in ((DARK, WHITE), ((215, 215, 220), (20, 20, 22)), (RUST, WHITE), (RUST, (150, 150, 152))):
        mask = find_part(draw(BOLT, 20.0, part, plain_ground(ground))).mask
        truth = find_part(draw(BOLT, 20.0)).mask
        assert overlap(mask, truth) > 0.95
        assert mask.sum() == pytest.approx(cv2.contourArea(BOLT.astype(np.float32)), rel=0.04)


@pytest.mark.parametrize("hole", [WHITE, (185, 182, 195)])
def test_through_holes_are_background_even_where_the_ground_is_dim(hole: tuple[int, int, int]) -> None:
    part = find_part(ring(80, 35, hole))
    assert not part.mask[150, 180]
    assert part.mask.sum() == pytest.approx(np.pi * (80**2 - 35**2), rel=0.03)


@pytest.mark.parametrize(("kind", "least"), [("bolt", 0.8), ("nut", 0.9), ("washer", 0.9)])
@pytest.mark.parametrize("background", ["white", "light"])
def test_light_metal_on_a_light_sheet_does_not_split_at_its_rust(kind: str, background: str, least: float) -> None:
    for seed, share in ((7, 0.2), (101, 0.5)):
        drawn = render_part(seed, kind, "silver", "rust", rust_share=share, background=background)
        assert overlap(find_part(drawn.image).mask, drawn.part_mask) > least


def test_a_hole_shows_a_ground_too_bright_to_have_grain() -> None:
    rows, columns = np.mgrid[:200, :200] - 100.0
    away = np.hypot(rows, columns)
    level = np.where(away < 40, 253 - 0.2 * away, np.where(away < 80, 90.0, 255.0))
    mask = find_part(np.rint(level).astype(np.uint8)[..., None].repeat(3, axis=2)).mask
    assert not mask[away < 36].any()


def test_small_reflections_are_part_of_the_part() -> None:
    photo = draw(BOLT)
    photo[180:186, 175:185] = WHITE
    assert find_part(photo).mask[183, 180]


def test_a_face_of_nearly_the_colour_of_the_ground_is_part_and_a_shadow_is_not() -> None:
    part, face = np.zeros((200, 200), bool), np.zeros((200, 200), bool)
    part[40:80, 50:150] = part[80:170, 85:115] = True
    face[44:80, 112:145] = True  # open to the ground over 30 px
    shadow = cv2.GaussianBlur(np.roll(part, -6, axis=1).astype(np.float32), (0, 0), 6)
    level = np.where(face, 205, np.where(part, 80, 230 - 60 * shadow)).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 1, (200, 200))
    seen = cv2.GaussianBlur(level, (0, 0), 0.8) + noise
    mask = find_part(np.clip(seen, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)).mask
    assert mask[face].mean() > 0.97
    assert overlap(mask, part) > 0.9


def test_uneven_light_is_no_part() -> None:
    shade = np.linspace(0.65, 1.0, 360)[None, :, None] * np.linspace(0.85, 1.0, 300)[:, None, None]
    photo = add_noise(draw(BOLT, 20.0).astype(float) * shade)
    assert overlap(find_part(photo).mask, find_part(draw(BOLT, 20.0)).mask) > 0.95


def test_comparable_parts_are_kept_unturned_and_specks_dropped() -> None:
    photo = draw(ROD, 25.0, centre=(90.0, 150.0))
    photo = draw(ROD, 70.0, ground=photo, centre=(250.0, 150.0))
    photo[280:290, 330:345] = 0
    part = find_part(photo)
    assert part.pieces == 2
    assert not part.mask[285, 337]
    prepared = prepare(photo)
    assert prepared.transform[0, 1] == 0.0
    assert prepared.mask.sum() == pytest.approx(2 * 30 * 140 * prepared.transform[0, 0] ** 2, rel=0.05)


@pytest.mark.parametrize("bar", [(0, 0, 0), (20, 110, 170)])
def test_caption_bars_are_no_part(bar: tuple[int, int, int]) -> None:
    photo = draw(BOLT, 20.0, RUST)
    photo[276:] = bar
    cv2.putText(photo, "caption 123456789", (20, 293), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1)
    mask = find_part(photo).mask
    assert not mask[270:].any()
    assert overlap(mask, find_part(draw(BOLT, 20.0, RUST)).mask) > 0.97


def test_a_part_cut_off_by_the_frame_is_found() -> None:
    photo = draw(BOLT, 40.0, centre=(325.0, 150.0))
    part = find_part(photo)
    assert part.found
    assert part.mask[:, -1].any()


def test_photos_without_a_findable_part_fall_back_to_the_whole_frame() -> None:
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.normal(128.0, 160.0, (300, 400, 3)), (0, 0), 3.0)
    noise = rng.integers(0, 256, (300, 400, 3), dtype=np.uint8)
    flat = np.full((300, 400, 3), 180, np.uint8)
    for photo in (np.clip(texture, 0, 255).astype(np.uint8), noise, flat, np.zeros_like(flat)):
        prepared = prepare(photo, size=200)
        assert not prepared.part_found
        assert prepared.mask[25:175].all()
        assert not prepared.mask[:24].any()
        assert (prepared.image[:24] == 128).all()
        np.testing.assert_allclose(prepared.transform, [[0.5, 0, -0.25], [0, 0.5, 24.75]])


@pytest.mark.parametrize("gain", [0.8, 1.2])
def test_the_mask_does_not_depend_on_the_exposure(gain: float) -> None:
    photo = draw(BOLT, 20.0, RUST, plain_ground((190, 190, 195)))
    brighter = np.clip(photo * gain, 0, 255).astype(np.uint8)
    assert overlap(find_part(photo).mask, find_part(brighter).mask) > 0.97


@given(st.lists(st.integers(0, 255), min_size=8, max_size=300).filter(lambda v: len(set(v)) > 1))
@settings(max_examples=60, deadline=None)
def test_otsu_maximises_the_variance_between_the_classes(values: list[int]) -> None:
    array = np.array(values, np.float64)
    threshold, separability = otsu_threshold(array)

    def between(cut: float) -> float:
        low, high = array[array < cut], array[array >= cut]
        return low.size * high.size * (low.mean() - high.mean()) ** 2 / array.size**2 if low.size and high.size else 0.0

    best = max(between(cut) for cut in np.unique(array))
    # A bin is narrower than the spacing of whole numbers up to 255, so the histogram loses nothing.
    assert between(threshold - 1e-6) == pytest.approx(best, rel=1e-9)
    assert separability == pytest.approx(best / array.var(), rel=1e-9)


# Real photos


def _real(folder: str) -> list[Path]:
    root = os.environ.get("FASTENER_DATA_DIR")
    if root is None or not (Path(root) / folder).is_dir():
        pytest.skip(f"FASTENER_DATA_DIR is not set, or holds no {folder}/")
    return list_images(Path(root) / folder)


@pytest.mark.real_data
def test_real_components_are_found_without_the_scale_bar() -> None:
    for path in _real("components")[::6]:
        photo = read_image(path)
        prepared = prepare(photo)
        assert prepared.part_found, path.name
        assert prepared.white_is_background, path.name
        back = mask_in_photo(prepared)
        assert not back[int(0.95 * photo.shape[0]) :, int(0.8 * photo.shape[1]) :].any(), path.name
        if path.name.startswith("Washer"):
            rows, cols = np.nonzero(back)
            assert not back[int(rows.mean()), int(cols.mean())], path.name


@pytest.mark.real_data
def test_real_web_photos_mostly_show_a_part() -> None:
    found = [prepare(read_image(path), size=64).part_found for path in _real("fasteners")[::4]]
    assert 0.6 < np.mean(found) < 0.95
