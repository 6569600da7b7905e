"""CT slices: layout, order, depth, windowing over the volume, and what cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from fastener.common.errors import UserError
from fastener.datasets import ct_slices, images
from fastener.datasets.ct_folders import list_good_slices, list_volumes
from fastener.datasets.ct_labels import LABEL_COLUMNS, read_labels
from fastener.datasets.ct_places import natural_key
from fastener.datasets.ct_slices import CtSlice, SliceReader, read_slice
from fastener.datasets.ct_window import Window, volume_window, window_of


def grey(seed: int, high: int = 60_000, dtype: type = np.uint16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, (40, 50)).astype(dtype)


def save(values: np.ndarray, path: Path, more: tuple[np.ndarray, ...] = (), compression: str = "raw") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"save_all": True, "append_images": [Image.fromarray(v) for v in more]} if more else {}
    Image.fromarray(values).save(path, format="TIFF", compression=compression, **options)
    return path


def names(folder: Path, **arguments: object) -> list[tuple[str, str, list[int]]]:
    listing = list_volumes(folder, **arguments)  # type: ignore[arg-type]
    return [(v.battery, v.axis, [one.number for one in v.slices]) for v in listing.volumes]


def test_batteries_axes_and_slices_come_in_natural_order_whatever_the_script(tmp_path: Path) -> None:
    for battery in ("Батарея 10", "Батарея 2", "电池"):
        for axis in ("軸z", "x"):
            for number in (10, 9, 2):
                save(grey(number), tmp_path / battery / axis / f"срез_{number}.tif")
    assert [(battery, axis) for battery, axis, _ in names(tmp_path)] == [
        (battery, axis) for battery in ("Батарея 2", "Батарея 10", "电池") for axis in ("x", "軸z")
    ]
    assert all(numbers == [2, 9, 10] for _, _, numbers in names(tmp_path))
    assert sorted(["b10", "b2", "b٣", "a"], key=natural_key) == ["a", "b2", "b٣", "b10"]


def test_filters_keep_both_ends_and_named_axes(tmp_path: Path) -> None:
    for axis in ("x", "y"):
        for number in range(6):
            save(grey(number), tmp_path / "b" / axis / f"s_{number:04d}.TIFF")
    assert names(tmp_path, axes=["y"], numbers=(2, 4)) == [("b", "y", [2, 3, 4])]
    with pytest.raises(UserError, match="filter_index_range"):
        list_volumes(tmp_path, numbers=(7, 9))
    with pytest.raises(UserError, match=r"no axis folder is named z; there are: x, y \(axis_names\)"):
        list_volumes(tmp_path, axes=["z"])


def test_the_step_between_neighbours_is_that_of_the_folder_not_of_the_filter(tmp_path: Path) -> None:
    for number in (0, 5, 10, 25):
        save(grey(number), tmp_path / "b" / "x" / f"s_{number}.tif")
    (volume,) = list_volumes(tmp_path, numbers=(5, 25)).volumes
    assert volume.step == 5
    save(grey(16), tmp_path / "b" / "x" / "s_11.tif")  # one that is off the grid does not make others strangers
    assert list_volumes(tmp_path).volumes[0].step == 5


def test_a_number_far_from_all_others_costs_nothing(tmp_path: Path) -> None:
    """One file named by date and time; a count for each possible distance would take terabytes."""
    for number in (1, 2, 3, 20240101123000, 20240101123002):
        save(grey(1), tmp_path / "b" / "x" / f"s_{number}.tif")
    assert list_volumes(tmp_path).volumes[0].step == 1
    for number in (2, 3):
        (tmp_path / "b" / "x" / f"s_{number}.tif").unlink()
    assert list_volumes(tmp_path).volumes[0].step == 2, "of equally frequent distances the smallest"


def test_slices_left_out_by_their_numbers_are_counted(tmp_path: Path) -> None:
    """Also those of volumes of which nothing is left; slices along axes that were not asked for do not count."""
    for battery, axis, count in (("a", "x", 5), ("b", "x", 2), ("b", "y", 9)):
        for number in range(count):
            save(grey(number), tmp_path / battery / axis / f"s_{number}.tif")
    listing = list_volumes(tmp_path, axes=["x"], numbers=(2, 3))
    assert [volume.name for volume in listing.volumes] == ["a/x"]
    assert listing.left_out == 3 + 2
    assert sorted(volume.name for volume in listing.passed_over) == ["b/x", "b/y"]
    assert list_volumes(tmp_path, axes=["x"]).left_out == 0


def test_slices_that_cannot_be_opened_keep_their_place(tmp_path: Path) -> None:
    """Else their neighbours would be taken for neighbours of one another, and nobody would miss them."""
    for number in range(5):
        save(grey(number), tmp_path / "b" / "x" / f"s_{number}.tif")
    for number in (1, 3):
        (tmp_path / "b" / "x" / f"s_{number}.tif").write_bytes(b"")
    (volume,) = list_volumes(tmp_path).volumes
    assert [one.number for one in volume.slices] == [0, 1, 2, 3, 4]
    assert volume.step == 1


def test_a_filter_does_not_move_the_window(tmp_path: Path) -> None:
    for number in range(4):
        save(grey(number, high=1000 * (number + 1)), tmp_path / "b" / "x" / f"s_{number}.tif")
    whole, some = (list_volumes(tmp_path, numbers=numbers).volumes[0] for numbers in (None, (0, 1)))
    assert len(some.slices) == 2
    assert window_of(some) == window_of(whole)


def test_pages_count_on_from_the_number_of_the_file(tmp_path: Path) -> None:
    pages = [grey(seed) for seed in range(3)]
    save(pages[0], tmp_path / "b" / "x" / "scan_0100.tif", tuple(pages[1:]))
    (volume,) = list_volumes(tmp_path).volumes
    assert [one.number for one in volume.slices] == [100, 101, 102]
    assert len({one.name for one in volume.slices}) == 3
    for one, page in zip(volume.slices, pages, strict=True):
        np.testing.assert_array_equal(read_slice(one), page)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_a_file_of_many_pages_is_opened_once_a_thread(
    compression: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [np.full((40, 50), 7, np.uint16) if seed == 4 else grey(seed) for seed in range(12)]
    folder = tmp_path / "b" / "x"
    save(pages[0], folder / "scan_0000.tif", tuple(pages[1:]), compression)
    save(grey(50), folder / "other_0050.tif")
    (volume,) = list_volumes(tmp_path).volumes
    with counted(monkeypatch) as files:
        volume_window(volume.slices)
    assert (files.opened, files.open) == (2, 0), "a constant page closes nothing"
    with counted(monkeypatch) as files, ThreadPoolExecutor(2) as pool, SliceReader() as read:
        found = list(pool.map(lambda one: None if one.number == 4 else read(one), volume.slices))
        assert files.open <= 2
        assert files.opened <= 3
    assert files.open == 0
    for one, values in zip(volume.slices, found, strict=True):
        if values is not None:
            np.testing.assert_array_equal(values, read_slice(one))


def test_a_damaged_page_is_one_line_and_those_after_it_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [grey(seed) for seed in range(4)]
    path = save(pages[0], tmp_path / "b" / "x" / "scan_0.tif", tuple(pages[1:]), "tiff_lzw")
    with Image.open(path) as image:
        assert isinstance(image, TiffImageFile)
        image.seek(1)
        start = image.tag_v2[273][0]  # where its pixels begin
    content = bytearray(path.read_bytes())
    content[start : start + 100] = b"\xff" * 100
    path.write_bytes(content)
    (volume,) = list_volumes(tmp_path).volumes
    with counted(monkeypatch) as files, SliceReader() as read:
        for one, page in zip(volume.slices, pages, strict=True):
            if one.page == 1:
                with pytest.raises(UserError, match=r"scan_0\.tif: damaged"):
                    read(one)
                assert files.open == 0
            else:
                np.testing.assert_array_equal(read(one), page)
    assert files.open == 0


class Counts:
    opened = open = 0


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counts]:
    """How many image files were opened, and how many are open."""
    counts, plain = Counts(), images.opened

    @contextmanager
    def counting(path: Path) -> Iterator[Image.Image]:
        counts.opened += 1
        counts.open += 1
        try:
            with plain(path) as image:
                yield image
        finally:
            counts.open -= 1

    with monkeypatch.context() as patch:
        patch.setattr(ct_slices, "opened", counting)
        yield counts


def imagej(path: Path, images: int) -> Path:
    """A stack as ImageJ writes it above 4 GB: one directory, the pixels of all slices, their number as text."""
    text = f"ImageJ=1.53t\nimages={images}\nslices={images}\nmin=0.0\nmax=60000.0\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grey(1)).save(path, format="TIFF", description=text)
    return path


def test_a_stack_of_which_one_slice_is_found_is_not_judged(tmp_path: Path) -> None:
    stack = imagej(tmp_path / "b" / "x" / "stack_0000.tif", 2500)
    words = "an ImageJ stack of 2500 slices, of which only the first can be found; save it as BigTIFF or as single"
    with pytest.raises(UserError, match=words):
        list_volumes(tmp_path)
    imagej(tmp_path / "b" / "x" / "single_7000.tif", 1)
    listing = list_volumes(tmp_path)
    assert [one.name for one in listing.volumes[0].slices] == ["single_7000"]
    assert [line.startswith(f"{stack}: {words}") for line in listing.problems] == [True]
    assert len(list_good_slices(stack.parent).volumes[0].slices) == 1


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_stack_cut_short_is_not_judged_by_its_first_page(tmp_path: Path) -> None:
    pages = [grey(seed) for seed in range(6)]
    path = save(pages[0], tmp_path / "b" / "x" / "scan_0000.tif", tuple(pages[1:]))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=r"no slice is left; .*scan_0000\.tif: damaged .* copy it again"):
        list_volumes(tmp_path)


def labels_of(folder: Path, *lines: str) -> Path:
    path = folder / "labels.csv"
    path.write_text("\n".join([",".join(LABEL_COLUMNS), *lines, ""]))
    return path


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1,axial,s_1.tif,1,1,5,9", "line 3: no folder '1/axial' with slices; write .* as the folders are named"),
        ("001,Axial,s_1.tif,1,1,5,9", "line 3: no folder '001/Axial' with slices"),
        ("001,empty,s_1.tif,1,1,5,9", "line 3: no folder '001/empty' with slices"),
        ("001", "line 3: no folder '001/' with slices"),
        ("001,axial,s_8.tif,1,1,5,9", "line 3: 001/axial has no slice 's_8.tif'"),
        ("002,axial,s_8.tif,1,1,5,9", "line 3: 002/axial has no slice 's_8.tif'"),
    ],
)
def test_a_label_of_what_there_is_not_is_an_error(line: str, words: str, tmp_path: Path) -> None:
    """Passed over, it would make a cracked battery a good one."""
    for battery, number in (("001", 1), ("002", 7)):
        save(grey(number), tmp_path / battery / "axial" / f"s_{number}.tif")
    (tmp_path / "001" / "empty").mkdir()
    listing = list_volumes(tmp_path, numbers=(0, 5))
    path = labels_of(tmp_path, "001,axial,s_1.tif,1,1,5,9", line)
    with pytest.raises(UserError, match=words):
        read_labels(path, listing.volumes, listing.passed_over)


def test_labels_of_what_filters_left_out_are_passed_over(tmp_path: Path) -> None:
    for battery, axis, number in (("a", "x", 1), ("a", "x", 6), ("a", "y", 1), ("b", "x", 7), ("c", "y", 1)):
        save(grey(number), tmp_path / battery / axis / f"s_{number}.tif")
    lines = [f"{place}.tif,1,1,5,9" for place in ("a,x,s_1", "a,x,s_6", "a,y,s_1", "b,x,s_7", "c,y,s_1")]
    path = labels_of(tmp_path, ",,,,,,", *lines)
    listing = list_volumes(tmp_path, axes=["x"], numbers=(0, 5))
    assert read_labels(path, listing.volumes, listing.passed_over) == {("a", "x", 1): [(1.0, 1.0, 5.0, 9.0)]}
    path = labels_of(tmp_path, *lines[1:])
    assert read_labels(path, listing.volumes, listing.passed_over) == {}


def test_what_is_no_slice_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "b" / "x"
    save(grey(1), folder / "s_0001.tif")
    save(grey(2), folder / "other_0001.tif")
    save(grey(3), folder / "overview.tif")
    (folder / "s_0002.tif").write_bytes(b"no image")
    (folder / "notes.txt").write_text("not a slice")
    listing = list_volumes(tmp_path)
    (volume,) = listing.volumes
    assert [one.name for one in volume.slices] == ["other_0001", "s_0002"]
    with pytest.raises(UserError, match=r"s_0002\.tif: not an image"):
        read_slice(volume.slices[1])
    text = "\n".join(listing.problems)
    assert "slice number 1 is that of other_0001 too" in text
    assert "no slice number at the end of the name" in text
    assert "notes" not in text


def test_other_kinds_of_files_and_other_levels_are_slices_too(tmp_path: Path) -> None:
    """No battery vanishes because its slices are PNG, or lie in fewer or more folders."""
    save(grey(0), tmp_path / "deep" / "lot 7" / "b3" / "axial" / "s_1.tif")
    save(grey(0), tmp_path / "flat" / "s_1.tif")
    for number in (2, 3):
        Image.fromarray(grey(number)).save(tmp_path / "flat" / f"s_{number}.png")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "scan.vol").write_bytes(b"voxels")
    (tmp_path / "nothing").mkdir()
    listing = list_volumes(tmp_path, axes=["axial"])
    found = [(v.battery, v.axis, [one.number for one in v.slices]) for v in listing.volumes]
    assert found == [("deep_lot 7_b3", "axial", [1]), ("flat", "", [1, 2, 3])]
    np.testing.assert_array_equal(read_slice(listing.volumes[1].slices[2]), grey(3))
    said = "\n".join(listing.problems)
    assert "odd: holds no slice" in said
    assert "1 file(s) of kind .vol are not read, such as scan.vol" in said
    assert "nothing: holds no slice" in said


def test_slices_in_the_folder_itself_are_one_volume(tmp_path: Path) -> None:
    save(grey(0), tmp_path / "tablet" / "s_0000.tif")
    (volume,) = list_volumes(tmp_path / "tablet").volumes
    assert (volume.battery, volume.axis) == ("tablet", "")


@pytest.mark.parametrize("layout", ["missing", "empty"])
def test_a_folder_without_slices_says_what_it_should_hold(layout: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    if layout != "missing":
        folder.mkdir()
    with pytest.raises(UserError, match="<battery_id>/<axis>"):
        list_volumes(folder)


def test_good_slices_may_lie_in_one_folder_under_any_names(tmp_path: Path) -> None:
    for name in ("a.tif", "b_7.tif", "c_7.tif"):
        save(grey(0), tmp_path / name)
    (volume,) = list_good_slices(tmp_path).volumes
    assert [one.name for one in volume.slices] == ["a", "b_7", "c_7"]
    assert [one.number for one in volume.slices] == [0, 1, 2]
    save(grey(0), tmp_path / "tree" / "b" / "x" / "s_1.tif")
    assert [v.battery for v in list_good_slices(tmp_path / "tree").volumes] == ["b"]
    save(grey(0), tmp_path / "tree" / "overview.tif")
    with pytest.raises(UserError, match=r"holds slices and batteries \(such as b\)"):
        list_good_slices(tmp_path / "tree")


@pytest.mark.parametrize(("high", "dtype"), [(256, np.uint8), (65_536, np.uint16), (65_536, ">u2"), (4096, np.int32)])
def test_grey_values_are_read_as_they_were_stored(high: int, dtype: type, tmp_path: Path) -> None:
    values = grey(5, high, dtype)
    found = read_slice(CtSlice(save(values, tmp_path / "s.tif"), 0, 0, "s"))
    np.testing.assert_array_equal(found, values)
    assert found.dtype == (np.uint8 if high == 256 else np.uint16)


def test_slices_that_cannot_be_judged_are_explained(tmp_path: Path) -> None:
    whole = save(grey(1), tmp_path / "whole.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 2])
    save(np.full((40, 50), 7, np.uint16), tmp_path / "flat.tif")
    save(np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32), tmp_path / "float.tif")
    for name, words in (("cut", "damaged"), ("flat", "constant, every pixel is 7"), ("float", "8- or 16-bit")):
        with pytest.raises(UserError, match=words) as caught:
            read_slice(CtSlice(tmp_path / f"{name}.tif", 0, 0, name))
        assert f"{name}.tif" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_window_is_that_of_the_whole_volume(tmp_path: Path) -> None:
    """Against NumPy's percentiles of all pixels; a slice as dark as half the others is not stretched by itself."""
    slices = []
    for number in range(5):
        path = save((grey(number) // (1 + number)).astype(np.uint16), tmp_path / f"s_{number}.tif")
        slices.append(CtSlice(path, 0, number, path.stem))
    every = np.concatenate([read_slice(one).ravel() for one in slices])
    window = volume_window(slices, (1.0, 99.0))
    low, high = np.percentile(every, [1.0, 99.0], method="inverted_cdf")
    assert (window.low, window.high) == (low, high)
    means = [window(read_slice(one)).mean() for one in slices]
    assert means == sorted(means, reverse=True)


def test_the_window_clips_and_rounds() -> None:
    shown = Window(100.0, 300.0)(np.array([[0, 100, 200, 300, 65535]], np.uint16))
    assert shown.shape == (1, 5, 3)
    assert shown[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_the_window_of_hardly_anything_is_still_one(tmp_path: Path) -> None:
    lonely = np.zeros((40, 50), np.uint16)
    lonely[3, 4] = 900
    one = CtSlice(save(lonely, tmp_path / "s_1.tif"), 0, 1, "s_1")
    assert volume_window([one]) == Window(0.0, 900.0)
    missing = CtSlice(tmp_path / "gone.tif", 0, 2, "gone")
    assert volume_window([missing]) == volume_window([]) == Window(0.0, 255.0)
    assert volume_window([missing, one]) == Window(0.0, 900.0)
