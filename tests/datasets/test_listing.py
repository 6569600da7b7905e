"""Which files of a folder are data, and how the rest is named."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from data_factory import part, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fastener.common.errors import UserError
from fastener.datasets.folder import good_images
from fastener.datasets.listing import OTHER_IMAGES, files_in, is_system, list_images, marked, told, unused_in
from fastener.datasets.names import is_bad, is_good
from fastener.inspection.drawing import save_picture

SYSTEM = (
    *(".ipynb_checkpoints", "@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found", "__MACOSX", ".git"),
    "System Volume Information",
)


@pytest.mark.parametrize("folder", SYSTEM)
def test_folders_of_systems_are_no_data(tmp_path: Path, folder: str) -> None:
    save(part(0), tmp_path / "photos" / "a.png")
    save(part(1), tmp_path / folder / "a.png")
    save(part(1), tmp_path / "photos" / folder.upper() / "b.png")
    assert list_images(tmp_path) == [tmp_path / "photos" / "a.png"]
    assert unused_in(tmp_path, {tmp_path / "photos" / "a.png"}, reason="left over") == []


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "Photos", "größe", "@eaDir", "__MACOSX", "lost+found", ".x"]), max_size=4),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(["p.png", "P.JPG", "Thumbs.db", "desktop.ini", "._p.png", "q.heic", "notes.txt"]),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_is_data_if_none_of_its_folders_is_a_systems(
    tmp_path_factory: pytest.TempPathFactory, layouts: list[list[str]], name: str
) -> None:
    root = tmp_path_factory.mktemp("walk")
    for parts in layouts:
        (root.joinpath(*parts)).mkdir(parents=True, exist_ok=True)
        root.joinpath(*parts, name).touch()
    expected = {root.joinpath(*parts, name) for parts in layouts if not any(map(is_system, [*parts, name]))}
    assert set(files_in(root)) == expected


def test_pictures_of_results_are_no_photos(tmp_path: Path) -> None:
    photo = save(part(0), tmp_path / "photo.png")
    save_picture(part(1), tmp_path / "det_photo.png")
    save_picture(part(1), tmp_path / "results" / "deep" / "any name.png")
    save_picture(part(1), tmp_path / "overlay_photo.jpg")
    own = save(part(4), tmp_path / "taken.jpg")
    for name in ("det_old.png", "overlay_old.png", "x_result.png", "x_heatmap.png"):
        save(part(2), tmp_path / name)  # as earlier versions wrote them
    alone = save(part(3), tmp_path / "overlay_alone.png")
    assert list_images(tmp_path) == [alone, photo, own]
    for one in (photo, own):
        content = marked(one.read_bytes())
        np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(content, np.uint8), 1), cv2.imread(str(one)))
        with Image.open(io.BytesIO(content)) as opened:
            opened.load()


@pytest.mark.parametrize("suffix", sorted(OTHER_IMAGES))
def test_kinds_that_cannot_be_read_are_named(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"photo{suffix.upper()}").touch()
    (line,) = told(unused_in(tmp_path))
    assert f"photo{suffix.upper()}" in line
    with pytest.raises(UserError, match=r"holds no image.*cannot be read"):
        list_images(tmp_path)


@pytest.mark.parametrize("name", ["IMG_0001", "photo.bak", "scan.001"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "WEBP"])
def test_an_image_without_its_ending_is_named(tmp_path: Path, name: str, kind: str) -> None:
    save(part(0), tmp_path / name, format=kind)
    (tmp_path / "LICENSE").write_text("text")
    (one,) = unused_in(tmp_path)
    assert one.path.name == name
    assert "ending" in one.reason


def test_a_file_for_a_folder_is_told(tmp_path: Path) -> None:
    path = save(part(0), tmp_path / "photo.png")
    with pytest.raises(UserError, match="is a file; name its folder"):
        list_images(path)


@pytest.mark.parametrize("name", ["good", "Good", "OK", "ok ", "normal", "0_good", "1-Normal", "defect_free", "io"])
def test_good_folders(name: str) -> None:
    assert is_good(name)
    assert not is_bad(name)


@pytest.mark.parametrize(
    "name", ["not_good", "NG", "nok", "Scratch", "cracked", "ground_truth", "defects", "test", "Not OK"]
)
def test_folders_of_other_than_good_photos(name: str) -> None:
    assert is_bad(name)
    assert not is_good(name)


@pytest.mark.parametrize("name", ["bolts", "M6", "rust_free", "without_defects", "steel", "day1", "no_scratches"])
def test_folders_that_say_nothing_bad(name: str) -> None:
    assert not is_bad(name)


@pytest.mark.parametrize("bad", ["scratch", "ground_truth", "NG", "nut/test"])
def test_good_photos_are_not_taken_from_folders_of_other_photos(tmp_path: Path, bad: str) -> None:
    save(part(0), tmp_path / "good" / "a.png")
    save(part(1), tmp_path / bad / "a.png")
    with pytest.raises(UserError, match=r"no good photos.*--images .*good"):
        good_images(tmp_path)
    assert good_images(tmp_path / "good") == [tmp_path / "good" / "a.png"]


def test_the_root_of_a_category_names_the_command_that_was_meant(tmp_path: Path) -> None:
    save(part(0), tmp_path / "nut/train/good/a.png")
    save(part(1), tmp_path / "nut/test/scratch/a.png")
    for folder in (tmp_path, tmp_path / "nut"):
        with pytest.raises(UserError, match=f"--mvtec-dir {tmp_path} --category nut"):
            good_images(folder)
