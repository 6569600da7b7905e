"""Photos of more than 8 bits: one white level for all photos, whatever single pixels do."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from data_factory import part, tiny_config
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fastener.datasets.images import reach_of, read_image, read_photo
from fastener.datasets.levels import Reach, full_scale, learned_scale, scaled, to_uint8
from fastener.inspection.inspector import Inspector
from fastener.inspection.model_state import restore, state_of
from fastener.models.runtime.storage import with_tensors

PHOTO = part(3)


def write(path: Path, values: np.ndarray) -> Path:
    """Write grey or RGB levels as they are."""
    assert cv2.imwrite(str(path), values if values.ndim == 2 else values[..., ::-1])
    return path


def of_bits(bits: int, photo: np.ndarray = PHOTO) -> np.ndarray:
    return np.rint(photo / 255 * (2**bits - 1)).astype(np.uint16)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("grey", [True, False])
def test_colour_and_grey_of_any_depth_are_read_alike(tmp_path: Path, suffix: str, bits: int, grey: bool) -> None:
    photo = PHOTO[..., 0] if grey else PHOTO
    path = write(tmp_path / f"photo{suffix}", of_bits(bits, photo))
    expected = np.repeat(photo[..., None], 3, axis=2) if grey else photo
    np.testing.assert_allclose(read_image(path), expected, atol=1)


@pytest.mark.parametrize("dtype", [np.int16, np.uint32, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("samples", [1, 3])
def test_other_number_types_are_read_alike(tmp_path: Path, dtype: type, samples: int) -> None:
    photo = PHOTO[..., :samples].squeeze()
    tifffile.imwrite(tmp_path / "photo.tif", (photo / 255 * 4095).astype(dtype))
    np.testing.assert_allclose(read_image(tmp_path / "photo.tif")[..., 0], PHOTO[..., 0], atol=1)


def test_signed_levels_keep_their_black(tmp_path: Path) -> None:
    signed = (of_bits(16, PHOTO[..., 0]).astype(np.int32) - 2**15).astype(np.int16)
    signed[0] = -(2**15)
    tifffile.imwrite(tmp_path / "photo.tif", signed)
    np.testing.assert_allclose(read_image(tmp_path / "photo.tif")[1:, :, 0], PHOTO[1:, :, 0], atol=1)


@given(st.integers(0, 2**32 - 1), st.sampled_from([10, 12, 14]), st.integers(1, 20), st.booleans())
@settings(max_examples=40, deadline=None)
def test_hot_pixels_and_burnt_in_text_change_no_other_pixel(seed: int, bits: int, hot: int, at_the_end: bool) -> None:
    rng = np.random.default_rng(seed)
    values = of_bits(bits, rng.integers(60, 250, (160, 200)))
    spoilt = values.copy()
    level = 2**16 - 1 if at_the_end else 2**bits + 100
    spoilt.ravel()[rng.choice(values.size, hot, replace=False)] = level
    if at_the_end:
        spoilt[:20, :80] = level  # 5 % of the photo
    kept = spoilt == values
    as_read, _ = scaled(spoilt, Reach.of(spoilt), None)
    np.testing.assert_array_equal(as_read[kept], to_uint8(values, 0, 2**bits - 1)[kept])


def test_a_float_photo_with_a_pixel_above_one_stays_as_it_is(tmp_path: Path) -> None:
    values = (PHOTO[..., 0] / 255).astype(np.float32)
    values[5, 5] = 1.02
    tifffile.imwrite(tmp_path / "photo.tif", values)
    np.testing.assert_allclose(read_image(tmp_path / "photo.tif")[6:, :, 0], PHOTO[6:, :, 0], atol=1)


def test_a_longer_exposure_is_brighter_and_not_darker() -> None:
    values = of_bits(12, PHOTO[..., 0])
    longer = np.minimum(values * 1.06, 2**14 - 1).astype(np.uint16)
    before, after = (scaled(one, Reach.of(one), None)[0].mean() for one in (values, longer))
    assert before < after < 1.07 * before


@pytest.mark.parametrize("tag", [281, 341])
def test_a_file_that_states_its_bits_is_believed(tmp_path: Path, tag: int) -> None:
    dark = of_bits(12, PHOTO[..., 0] // 8)
    tifffile.imwrite(tmp_path / "photo.tif", dark, extratags=[(tag, "H", 1, 4095, True)])
    np.testing.assert_allclose(read_image(tmp_path / "photo.tif")[..., 0], PHOTO[..., 0] // 8, atol=1)
    # A maximum that is no full scale is only this photo's own.
    tifffile.imwrite(tmp_path / "photo.tif", dark, extratags=[(tag, "H", 1, int(dark.max()), True)])
    assert reach_of(tmp_path / "photo.tif") == Reach.of(dark)


def test_the_scale_is_learned_from_all_photos_but_a_few_odd_ones() -> None:
    usual = [Reach(0, high, False, most=65535) for high in range(3000, 3020)]
    odd = Reach(0, 60000, False, most=65535)
    assert learned_scale([*usual, odd, odd]) == (0, 4095)
    assert learned_scale([]) is None
    assert learned_scale([Reach(0, 900, False, 14, 65535)] * 3) == (0, 2**14 - 1)
    assert full_scale(Reach(-1000, 3000, False, most=32767)) == (-8192, 8191)


def test_a_photo_that_does_not_fit_the_scale_of_the_model_is_told() -> None:
    values = of_bits(12, PHOTO[..., 0])
    assert scaled(values, Reach.of(values), (0, 4095))[1] == ""
    deeper, shallower = (np.asarray(values * factor, np.uint16) for factor in (16, 1 / 16))
    assert "cut off at the white level 4095" in scaled(deeper, Reach.of(deeper), (0, 4095))[1]
    assert "far below the white level 4095" in scaled(shallower, Reach.of(shallower), (0, 4095.0))[1]
    assert scaled(deeper, Reach.of(deeper), 65535.0)[1] == ""


def test_the_scale_belongs_to_the_model(tmp_path: Path) -> None:
    paths = []
    for seed in range(6):
        paths.append(write(tmp_path / f"{seed}.png", of_bits(12, part(seed))))
    spoilt = of_bits(12, part(9))
    spoilt[:8, :8] = 30_000  # more pixels than a photo by itself could leave out
    odd = write(tmp_path / "odd.png", spoilt)
    inspector = Inspector.fit(paths, tiny_config(model={"backbone": "filters"}))
    assert inspector.config.preprocess.white_level == (0, 4095)
    inspector.save(tmp_path / "model.pkl")
    loaded = Inspector.load(tmp_path / "model.pkl")
    (photo,) = loaded.stream([odd])
    assert "white level 4095" in " ".join(getattr(photo, "notes", ()))
    np.testing.assert_array_equal(
        read_image(odd, loaded.config.preprocess.white_level)[9:], read_image(paths[0], 4095.0)[9:] * 0 + part(9)[9:]
    )
    assert loaded.inspect([paths[0]])[0].score == inspector.inspect([paths[0]])[0].score  # type: ignore[union-attr]


def test_models_of_earlier_versions_keep_their_scale(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{seed}.png", of_bits(12, part(seed))) for seed in range(4)]
    state = with_tensors(state_of(Inspector.fit(paths, tiny_config(model={"backbone": "filters"}))))
    del state["config"]["preprocess"]["white_level"]
    assert restore(state, device="cpu", weights=None, run=None).config.preprocess.white_level == "brightest"
    # As before: colour of 16 bits is cut to its upper 8, grey is scaled by its own maximum.
    np.testing.assert_array_equal(read_image(paths[0], "brightest"), (of_bits(12, part(0)) >> 8).astype(np.uint8))
    grey = of_bits(12, PHOTO[..., 0])
    grey[0, 0] = 4200
    assert read_image(write(tmp_path / "grey.png", grey), "brightest").max() == round(4200 / 65535 * 255)


def test_a_model_of_8_bits_says_that_a_deeper_photo_is_new_to_it(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{seed}.png", part(seed)) for seed in range(4)]
    inspector = Inspector.fit(paths, tiny_config(model={"backbone": "filters"}))
    assert inspector.config.preprocess.white_level is None
    (found,) = inspector.inspect([write(tmp_path / "deep.png", of_bits(12))])
    assert "more than 8 bits" in found.notes[0]  # type: ignore[union-attr]
    assert read_photo(paths[0]).notes == ()


def test_training_tells_what_it_did_not_read(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{seed}.png", part(seed)) for seed in range(3)]
    pages = [Image.fromarray(part(seed)) for seed in (7, 8)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    told: list[str] = []
    Inspector.fit([*paths, tmp_path / "pages.tif"], tiny_config(model={"backbone": "filters"}), warn=told.append)
    assert [line for line in told if "pages.tif: only the first of its 2 pages" in line]
