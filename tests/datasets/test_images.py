"""Any image file becomes uint8 RGB with the colours one sees; what is no image is named in one line."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from data_factory import ROOT
from PIL import ExifTags, Image

from fastener.common.errors import UserError
from fastener.datasets.images import read_image, read_reduced
from fastener.datasets.levels import deep_to_uint8
from fastener.datasets.listing import list_images, unsearched, unused_in

RAMP = np.linspace(0, 1, 64)[None, :].repeat(40, axis=0)


def _rgb() -> np.ndarray:
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, :30] = (200, 80, 20)
    image[:20, 30:] = (30, 60, 210)
    return image


def _check(array: np.ndarray, shape: tuple[int, int]) -> None:
    assert array.dtype == np.uint8
    assert array.shape == (*shape, 3)
    assert array.flags.writeable
    assert array.flags.c_contiguous


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
def test_lossless_formats_keep_every_value(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    Image.fromarray(_rgb()).save(path, lossless=True)
    array = read_image(path)
    _check(array, (40, 60))
    np.testing.assert_array_equal(array, _rgb())


def test_grey_and_bilevel(tmp_path: Path) -> None:
    grey = (RAMP * 255).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.stack([grey] * 3, axis=2))
    Image.fromarray(grey > 128).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png")[:, :, 1], np.where(grey > 128, 255, 0))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("full", [255, 4095, 65535])
def test_16_bit_files_are_scaled_by_the_depth_they_hold(tmp_path: Path, suffix: str, full: int) -> None:
    path = tmp_path / f"deep{suffix}"
    Image.fromarray(np.rint(RAMP * full).astype(np.uint16)).save(path)
    array = read_image(path)
    _check(array, (40, 64))
    np.testing.assert_allclose(array[:, :, 0], RAMP * 255, atol=0.75)


def test_a_darker_12_bit_shot_stays_darker() -> None:
    shot = np.rint(RAMP * 4000).astype(np.uint16)
    half = deep_to_uint8(shot // 2)
    np.testing.assert_allclose(half, deep_to_uint8(shot) / 2.0, atol=1.0)


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (255.0, 0.0), (65535.0, 0.0), (3.0, -1.5), (1e6, 0.0)])
def test_float_tiff(tmp_path: Path, scale: float, offset: float) -> None:
    path = tmp_path / "float.tiff"
    Image.fromarray((RAMP * scale + offset).astype(np.float32)).save(path)
    np.testing.assert_allclose(read_image(path)[:, :, 2], RAMP * 255, atol=0.75)


def test_values_that_are_not_finite_become_black() -> None:
    values = np.array([[np.nan, np.inf, 1.0, 0.5]], np.float32)
    np.testing.assert_array_equal(deep_to_uint8(values), [[0, 0, 255, 128]])


def test_transparency_is_composited_on_white(tmp_path: Path) -> None:
    rgba = np.dstack([_rgb(), np.full((40, 60), 255, np.uint8)])
    rgba[:, :10, 3] = 0
    rgba[:, 10:20, 3] = 128
    Image.fromarray(rgba).save(tmp_path / "alpha.png")
    array = read_image(tmp_path / "alpha.png")
    expected = _rgb().astype(float)
    expected[:, :10] = 255
    expected[:, 10:20] = expected[:, 10:20] * 128 / 255 + 255 * 127 / 255
    np.testing.assert_allclose(array, expected, atol=1.0)

    Image.fromarray(np.dstack([_rgb()[:, :, 0], rgba[:, :, 3]])).save(tmp_path / "la.png")
    np.testing.assert_allclose(read_image(tmp_path / "la.png")[:, :, 0], expected[:, :, 0], atol=1.0)


def test_palettes_with_and_without_a_transparent_entry(tmp_path: Path) -> None:
    palette = Image.fromarray(_rgb()).quantize(4)
    palette.save(tmp_path / "plain.png")
    np.testing.assert_allclose(read_image(tmp_path / "plain.png"), _rgb(), atol=4)
    black = palette.getpixel((59, 39))
    palette.save(tmp_path / "clear.png", transparency=black)
    palette.save(tmp_path / "clear.gif", transparency=black)
    for name in ("clear.png", "clear.gif"):
        array = read_image(tmp_path / name)
        assert (array[30, 50] == 255).all()
        np.testing.assert_allclose(array[:, :30], _rgb()[:, :30], atol=4)


def test_cmyk_jpeg_has_the_colours_of_its_rgb_original(tmp_path: Path) -> None:
    Image.fromarray(_rgb()).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    with Image.open(tmp_path / "cmyk.jpg") as stored:
        assert stored.mode == "CMYK"
    array = read_image(tmp_path / "cmyk.jpg")
    np.testing.assert_allclose(array[5, 5], (200, 80, 20), atol=6)
    np.testing.assert_allclose(array[5, 50], (30, 60, 210), atol=6)


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a)),
        (7, lambda a: a[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda a: np.rot90(a, -1)),
    ],
)
def test_exif_orientation_is_applied(
    tmp_path: Path, orientation: int, undo: Callable[[np.ndarray], np.ndarray]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(undo(_rgb()))).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), _rgb())


def test_wide_photos_of_8000_px_are_read_without_a_warning(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    Image.new("RGB", (8000, 20), "red").save(tmp_path / "wide.png")
    Image.new("L", (8000, 8000), 7).save(tmp_path / "large.png", compress_level=1)
    assert read_image(tmp_path / "wide.png").shape == (20, 8000, 3)
    assert read_image(tmp_path / "large.png").shape == (8000, 8000, 3)
    assert not list(recwarn)


def _user_error(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_image(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert ";" in message
    return message


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_is_no_readable_image_is_named_in_one_line(tmp_path: Path) -> None:
    assert "no such file" in _user_error(tmp_path / "missing.png")
    assert "is a folder; name a file" in _user_error(tmp_path)

    (tmp_path / "text.jpg").write_text("not a picture")
    assert "not an image" in _user_error(tmp_path / "text.jpg")
    (tmp_path / "empty.png").touch()
    assert "not an image" in _user_error(tmp_path / "empty.png")

    Image.new("RGB", (19, 100)).save(tmp_path / "tiny.png")
    assert "19x100" in _user_error(tmp_path / "tiny.png")
    Image.new("1", (12001, 12001)).save(tmp_path / "huge.png")
    assert "144 megapixels" in _user_error(tmp_path / "huge.png")
    Image.new("1", (20000, 20000)).save(tmp_path / "bomb.png")
    assert "144 megapixels" in _user_error(tmp_path / "bomb.png")


_PEAK = """
import resource, sys
from fastener.datasets.images import read_photo
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read_photo(sys.argv[1])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory in other units")
@pytest.mark.parametrize(("mode", "most"), [("RGB", 8), ("RGBA", 13)])
def test_a_large_photo_is_decoded_without_copies(tmp_path: Path, mode: str, most: float) -> None:
    Image.new(mode, (5000, 4000), (10, 20, 30, 40)[: len(mode)]).save(tmp_path / "large.png")
    found = subprocess.run(
        [sys.executable, "-c", _PEAK, tmp_path / "large.png"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(found.stdout) < most * 5000 * 4000


def test_a_webp_that_claims_many_pixels_is_refused_by_its_header(tmp_path: Path) -> None:
    side = 10_000
    header = struct.pack("<BI", 0x2F, (side - 1) | (side - 1) << 14)
    chunk = b"VP8L" + struct.pack("<I", len(header)) + header + b"\0"
    (tmp_path / "bomb.webp").write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk)
    assert "more than 72 megapixels" in _user_error(tmp_path / "bomb.webp")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp", ".webp"])
def test_truncated_files_are_damaged_images(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    path = tmp_path / f"cut{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _user_error(path)


def test_images_are_listed_sorted_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpeg", "sub/c.TiF", ".hidden.png", ".cache/d.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    names = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)]
    assert names == ["a.jpeg", "b.PNG", "sub/c.TiF"]
    assert [path.name for path in list_images(tmp_path, recursive=False)] == ["a.jpeg", "b.PNG"]
    assert unsearched(tmp_path) == 1


def test_photos_of_kinds_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    for name in ("a.HEIC", "b.jpg", "sub/c.dng", ".d.heic", ".cache/e.heic", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [one.path for one in unused_in(tmp_path)] == [tmp_path / "a.HEIC", tmp_path / "sub/c.dng"]
    assert [one.path for one in unused_in(tmp_path, recursive=False)] == [tmp_path / "a.HEIC"]


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_the_size_of_a_lying_photo_is_that_of_its_pixels(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40)).save(tmp_path / f"a.{suffix}", exif=exif)
    photo, size = read_reduced(tmp_path / f"a.{suffix}", 100)
    assert photo.shape[:2] == size == (60, 40)


def test_a_folder_of_folders_says_how_they_are_searched(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.png").touch()
    with pytest.raises(UserError, match="holds no image, but folders; search them too with --recursive"):
        list_images(tmp_path, recursive=False)


def test_a_hidden_folder_given_by_name_is_listed(tmp_path: Path) -> None:
    (tmp_path / ".mine").mkdir()
    (tmp_path / ".mine" / "a.png").touch()
    assert len(list_images(tmp_path / ".mine")) == 1


def test_folders_without_images_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        list_images(tmp_path / "missing")
    with pytest.raises(UserError, match="holds no image"):
        list_images(tmp_path)


def _large_photo(path: Path, size: tuple[int, int] = (1000, 1600), exif: Image.Exif | None = None) -> np.ndarray:
    """A smooth JPEG of (height, width): what averaging does to it can be worked out."""
    y, x = np.mgrid[: size[0], : size[1]]
    photo = np.stack([x * 255 / size[1], y * 255 / size[0], np.full(size, 90.0)], 2).astype(np.uint8)
    Image.fromarray(photo).save(path, quality=95, exif=exif or Image.Exif())
    return photo


@pytest.mark.parametrize(
    ("longest", "shape"),
    [(1600, (1000, 1600)), (801, (1000, 1600)), (800, (500, 800)), (399, (250, 400)), (1, (125, 200))],
)
def test_large_jpegs_are_read_at_a_part_of_their_size(tmp_path: Path, longest: int, shape: tuple[int, int]) -> None:
    photo = _large_photo(tmp_path / "large.jpg")
    reduced, size = read_reduced(tmp_path / "large.jpg", longest)
    assert size == (1000, 1600)
    assert reduced.shape == (*shape, 3)
    averaged = cv2.resize(photo, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    assert np.abs(reduced.astype(int) - averaged).mean() < 1


def test_a_reduced_photo_that_lies_on_its_side_is_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    _large_photo(tmp_path / "turned.jpg", exif=exif)
    reduced, size = read_reduced(tmp_path / "turned.jpg", 400)
    assert size == (1600, 1000)
    assert reduced.shape == (400, 250, 3)
    whole = read_image(tmp_path / "turned.jpg")
    assert np.abs(reduced.astype(int) - cv2.resize(whole, (250, 400), interpolation=cv2.INTER_AREA)).mean() < 1


def test_other_formats_come_whole(tmp_path: Path) -> None:
    Image.fromarray(_rgb()).save(tmp_path / "image.png")
    reduced, size = read_reduced(tmp_path / "image.png", 10)
    assert size == (40, 60)
    np.testing.assert_array_equal(reduced, _rgb())
