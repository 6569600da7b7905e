"""What a file says about its colours: photometric interpretation, planes, profiles, opacity, pages."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest
import tifffile
from data_factory import part
from icc_factory import SPACES, encoded, profile
from PIL import Image, ImageCms

from fastener.common.errors import UserError
from fastener.datasets.colour_profiles import UNREADABLE
from fastener.datasets.images import image_size, read_image, read_photo

PHOTO = part(5, defect="rust")
GREY = PHOTO[..., 1]


@pytest.mark.parametrize("levels", [GREY, GREY.astype(np.uint16) * 257, GREY.astype(np.uint16) * 16])
def test_white_is_zero(tmp_path: Path, levels: np.ndarray) -> None:
    white = {np.dtype(np.uint8): 255}.get(levels.dtype, 65535 if levels.max() > 4095 else 4095)
    tifffile.imwrite(tmp_path / "photo.tif", (white - levels).astype(levels.dtype), photometric="miniswhite")
    np.testing.assert_allclose(read_image(tmp_path / "photo.tif")[..., 0], GREY, atol=1)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_planes(tmp_path: Path, dtype: str, byteorder: Literal["<", ">"], compression: str | None) -> None:
    factor = {"uint8": 1.0, "uint16": 257.0, "float32": 1 / 255}[dtype]
    planes: np.ndarray = np.moveaxis((PHOTO * factor).astype(dtype), -1, 0)
    path = tmp_path / "photo.tif"
    tifffile.imwrite(
        path, planes, photometric="rgb", planarconfig="separate", byteorder=byteorder, compression=compression
    )
    np.testing.assert_allclose(read_image(path), PHOTO, atol=1)
    assert image_size(path) == PHOTO.shape[:2]


def test_channels_beyond_colour_are_left_out(tmp_path: Path) -> None:
    infrared = np.dstack([PHOTO, 255 - GREY]).astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "photo.tif", infrared, photometric="rgb", extrasamples=["unspecified"])
    np.testing.assert_allclose(read_image(tmp_path / "photo.tif"), PHOTO, atol=1)


@pytest.mark.parametrize("photometric", ["separated", "cielab", "cfa"])
def test_colours_that_cannot_be_told_are_refused_by_name(tmp_path: Path, photometric: str) -> None:
    samples = {"separated": 4, "cielab": 3, "cfa": 1}[photometric]
    values = np.zeros((40, 40, samples), np.uint16).squeeze()
    tifffile.imwrite(tmp_path / "photo.tif", values, photometric=photometric)
    with pytest.raises(UserError, match=f"photo.tif.*{photometric.upper()}.*save it as RGB"):
        read_image(tmp_path / "photo.tif")


@pytest.mark.parametrize("space", [name for name in SPACES if name != "srgb"])
@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "webp"])
def test_an_embedded_profile_is_converted_to_srgb(tmp_path: Path, space: str, kind: str) -> None:
    path = tmp_path / f"photo.{kind}"
    smooth = cv2.GaussianBlur(PHOTO, (0, 0), 3)
    every: dict[str, dict[str, Any]] = {"jpg": {"quality": 98, "subsampling": 0}, "webp": {"lossless": True}}
    options = every.get(kind, {})
    Image.fromarray(encoded(smooth, space)).save(path, icc_profile=profile(space), **options)
    np.testing.assert_allclose(read_image(path).mean((0, 1)), smooth.mean((0, 1)), atol=1)
    assert np.abs(read_image(path).astype(int) - smooth).mean() < 1.5


def test_a_profile_of_srgb_changes_nothing(tmp_path: Path) -> None:
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(PHOTO).save(tmp_path / "photo.png", icc_profile=own)
    np.testing.assert_array_equal(read_image(tmp_path / "photo.png"), PHOTO)


def test_a_profile_under_transparency_and_a_palette(tmp_path: Path) -> None:
    opacity = np.full(GREY.shape, 255, np.uint8)
    opacity[:10] = 0
    layer = np.dstack([encoded(PHOTO, "p3"), opacity])
    Image.fromarray(layer).save(tmp_path / "photo.png", icc_profile=profile("p3"))
    found = read_image(tmp_path / "photo.png")
    assert (found[:10] == 255).all()
    assert np.abs(found[10:].astype(int) - PHOTO[10:]).mean() < 1.5


def test_adobe_rgb_of_cameras_is_told_by_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 0xFFFF
    exif.get_ifd(0xA005)[1] = "R03"
    smooth = cv2.GaussianBlur(PHOTO, (0, 0), 3)
    path = tmp_path / "_DSC0001.JPG"
    Image.fromarray(encoded(smooth, "adobe")).save(path, quality=98, subsampling=0, exif=exif)
    assert np.abs(read_image(path).astype(int) - smooth).mean() < 1.5


def test_a_profile_that_cannot_be_read_is_told_and_one_of_another_space_is_left_out(tmp_path: Path) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "broken.png", icc_profile=b"no profile")
    assert read_photo(tmp_path / "broken.png").notes == (UNREADABLE,)
    Image.fromarray(GREY).save(tmp_path / "grey.png", icc_profile=profile("p3"))
    photo = read_photo(tmp_path / "grey.png")
    assert photo.notes == ()
    np.testing.assert_array_equal(photo.pixels[..., 0], GREY)


def test_lab_is_converted(tmp_path: Path) -> None:
    lab = cv2.cvtColor((PHOTO / 255).astype(np.float32), cv2.COLOR_RGB2LAB)
    stored = np.dstack([lab[..., 0] * 2.55, lab[..., 1].round() % 256, lab[..., 2].round() % 256]).astype(np.uint8)
    tifffile.imwrite(tmp_path / "photo.tif", stored, photometric="cielab")
    assert np.abs(read_image(tmp_path / "photo.tif").astype(int) - PHOTO).mean() < 4


@pytest.mark.parametrize("opacity", [0, 1, 128, 255])
@pytest.mark.parametrize("kind", ["png", "tif", "webp", "deep"])
def test_an_opacity_that_is_the_same_everywhere_says_nothing(tmp_path: Path, opacity: int, kind: str) -> None:
    layer = np.dstack([PHOTO, np.full(GREY.shape, opacity, np.uint8)])
    path = tmp_path / f"photo.{kind.replace('deep', 'png')}"
    if kind == "deep":
        cv2.imwrite(str(path), layer[..., [2, 1, 0, 3]].astype(np.uint16) * 257)
    else:
        options: dict[str, Any] = {"lossless": True, "exact": True} if kind == "webp" else {}
        Image.fromarray(layer).save(path, **options)
    np.testing.assert_array_equal(read_image(path), PHOTO)


def test_deep_transparency_is_composited_on_white(tmp_path: Path) -> None:
    opacity = np.zeros(GREY.shape, np.uint8)
    opacity[10:] = 255
    layer = np.dstack([PHOTO, opacity]).astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "photo.png"), layer[..., [2, 1, 0, 3]])
    found = read_image(tmp_path / "photo.png")
    assert (found[:10] == 255).all()
    np.testing.assert_array_equal(found[10:], PHOTO[10:])


@pytest.mark.parametrize("suffix", [".tif", ".gif", ".webp"])
def test_further_pages_are_told(tmp_path: Path, suffix: str) -> None:
    pages = [Image.fromarray(part(seed)) for seed in range(3)]
    pages[0].save(tmp_path / f"photo{suffix}", save_all=True, append_images=pages[1:])
    (note,) = read_photo(tmp_path / f"photo{suffix}").notes
    assert "only the first of its 3" in note
    pages[0].save(tmp_path / f"one{suffix}")
    assert read_photo(tmp_path / f"one{suffix}").notes == ()


def test_thumbnails_in_a_tiff_are_no_pages(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "photo.tif") as file:
        file.write(PHOTO, photometric="rgb")
        file.write(np.ascontiguousarray(PHOTO[::4, ::4]), photometric="rgb", subfiletype=1)
    assert read_photo(tmp_path / "photo.tif").notes == ()


def test_16_bit_photos_keep_their_orientation(tmp_path: Path) -> None:
    for orientation in range(1, 9):
        path, plain = tmp_path / f"{orientation}.tif", tmp_path / f"{orientation}.png"
        tag = [(274, "H", 1, orientation, True)]
        tifffile.imwrite(path, PHOTO.astype(np.uint16) * 257, photometric="rgb", extratags=tag)
        exif = Image.Exif()
        exif[274] = orientation
        file = io.BytesIO()
        Image.fromarray(PHOTO).save(file, "PNG", exif=exif)
        plain.write_bytes(file.getvalue())
        np.testing.assert_array_equal(read_image(path), read_image(plain))
        assert image_size(path) == read_image(path).shape[:2]
