"""CT slices of batteries: ``<input_dir>/<battery_id>/<axis>/*_NNNN.tif``, 8- or 16-bit, one slice a file or many.

Grey values of a scan mean density on a scale of the scanner's own. They are windowed to 8 bits by percentiles over the
whole volume (all slices of a battery along an axis): a window of each slice would stretch a slice that shows little,
and hide a drift.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np
from PIL import ExifTags, Image

from fastener.common.errors import UserError
from fastener.common.sampling import evenly
from fastener.datasets.images import opened

T = TypeVar("T")
TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
# Percentiles of more slices than these would hardly differ, and a volume would be read twice.
_WINDOW_SLICES = 64
_LEVELS = 2**16


@dataclass(frozen=True)
class CtSlice:
    """One slice: page ``page`` of a file, ``number`` along the axis; ``name`` tells it from others of its folder."""

    path: Path
    page: int
    number: int
    name: str


@dataclass(frozen=True)
class Volume:
    """The slices of one battery along one axis, by number. ``step`` lies between the numbers of neighbours.

    ``left_out``: slices whose numbers were not asked for; they belong to the volume's window of grey values all the
    same. A file that cannot be read is a slice, too, so that it is missed where it should be.
    """

    battery: str
    axis: str
    slices: tuple[CtSlice, ...]
    step: int = 1
    left_out: tuple[CtSlice, ...] = ()

    @property
    def name(self) -> str:
        """Battery and axis, for a person."""
        return f"{self.battery}/{self.axis}" if self.axis else self.battery


@dataclass(frozen=True)
class Listing:
    """What a folder holds: volumes, by battery and axis in natural order, and a line for each file that is no slice.

    ``passed_over``: volumes of which no slice was asked for. Those along other axes are not read, and hold none.
    """

    volumes: tuple[Volume, ...]
    problems: tuple[str, ...]
    passed_over: tuple[Volume, ...] = ()

    @property
    def left_out(self) -> int:
        """How many slices were not asked for because of their numbers."""
        return sum(len(volume.left_out) for volume in self.volumes + self.passed_over)


@dataclass(frozen=True)
class Window:
    """The grey values that become 0 and 255."""

    low: float
    high: float

    def __call__(self, grey: np.ndarray) -> np.ndarray:
        """Grey values of any depth (H, W) -> uint8 RGB (H, W, 3)."""
        level = (grey.astype(np.float32) - self.low) * (255.0 / max(self.high - self.low, 1e-6))
        return np.repeat(np.rint(np.clip(level, 0, 255)).astype(np.uint8)[..., None], 3, axis=2)


def list_volumes(folder: Path, axes: Sequence[str] | None = None, numbers: tuple[int, int] | None = None) -> Listing:
    """The volumes below ``folder``, only those along ``axes`` (None: every folder) and only slices of ``numbers``.

    Numbers are the last digits of a file's name; pages of a file count on from there, or from 0 without digits. Both
    ends of ``numbers`` belong to it. Raises UserError if no slice is left, saying why.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; it should hold <battery_id>/<axis>/*_NNNN.tif")
    volumes: list[Volume] = []
    passed_over: list[Volume] = []
    problems: list[str] = []
    seen_axes: set[str] = set()
    for battery in _folders(folder):
        for axis in _folders(battery):
            seen_axes.add(axis.name)
            if axes is not None and axis.name not in axes:
                passed_over.append(Volume(battery.name, axis.name, ()))
                continue
            volume, wrong = _read_folder(axis, battery.name, axis.name)
            problems += wrong
            volume = _within(volume, numbers)
            if volume.slices:
                volumes.append(volume)
            elif volume.left_out:
                passed_over.append(volume)
    listing = Listing(tuple(volumes), tuple(problems), tuple(passed_over))
    if not volumes:
        raise UserError(_why_none(folder, listing, seen_axes, axes, numbers))
    return listing


def list_good_slices(
    folder: Path, axes: Sequence[str] | None = None, numbers: tuple[int, int] | None = None
) -> Listing:
    """Slices to learn from: as ``list_volumes``, or the TIFF files that lie in ``folder`` itself, as one volume.

    Raises UserError, too, where there are both.
    """
    if folder.is_dir() and any(_is_tiff(path) for path in folder.iterdir()):
        for battery in _folders(folder):
            if any(_is_tiff(path) for axis in _folders(battery) for path in axis.iterdir()):
                raise UserError(
                    f"{folder}: holds TIFF files and batteries (such as {battery.name}); move one of them away"
                )
        slices, problems = _slices_of(folder, numbered=False)
        return Listing((Volume(folder.name, "", tuple(slices)),), tuple(problems))
    return list_volumes(folder, axes, numbers)


def read_slice(one: CtSlice) -> np.ndarray:
    """The grey values as they were stored: uint8 or uint16 (H, W). Colour becomes grey.

    Raises UserError for a file that is missing, truncated, no image or deeper than 16 bits, and for a slice in which
    every pixel is the same.
    """
    with SliceReader() as read:
        return read(one)


class SliceReader:
    """``read_slice`` for many slices, in any threads: each keeps its last file of many pages open for the next page.

    Pillow finds a page by following all directories before it, from the first one in a file that was just opened. Use
    it in a ``with`` statement, whose end closes all files; no thread may still be reading then.
    """

    def __init__(self) -> None:
        self._kept: dict[int, _Opened] = {}

    def __enter__(self) -> SliceReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._kept:
            self._kept.popitem()[1].files.close()

    def __call__(self, one: CtSlice) -> np.ndarray:
        """See ``read_slice``. A file in which a page is damaged is closed."""
        thread = threading.get_ident()
        last = self._kept.pop(thread, None)
        if last is not None and last.path != one.path:
            last.files.close()
            last = None
        with last.files if last is not None else ExitStack() as files:
            image = last.image if last is not None else files.enter_context(opened(one.path))
            grey = _grey(image, one.page)
            if getattr(image, "is_animated", False):
                self._kept[thread] = _Opened(one.path, image, files.pop_all())
        return _checked(grey, one)


@dataclass(frozen=True)
class _Opened:
    """A file that stays open until ``files`` is closed."""

    path: Path
    image: Image.Image
    files: ExitStack


def _grey(image: Image.Image, page: int) -> np.ndarray:
    image.seek(page)
    image.load()
    return np.asarray(image if image.mode[:2] in ("L", "I", "I;", "F") else image.convert("L"))


def _checked(grey: np.ndarray, one: CtSlice) -> np.ndarray:
    if grey.ndim != 2 or grey.dtype.kind == "f" or grey.min() < 0 or grey.max() >= _LEVELS:
        raise UserError(f"{one.path}: {grey.dtype} grey values are no 8- or 16-bit slice; export it as unsigned 16-bit")
    if grey.min() == grey.max():
        raise UserError(
            f"{one.path}: slice {one.name} is constant, every pixel is {grey.flat[0]}; scan or export it again"
        )
    return grey.astype(np.uint8 if grey.dtype.itemsize == 1 else np.uint16)


def slice_size(one: CtSlice) -> tuple[int, int]:
    """(height, width) of a slice, without reading its pixels. Raises UserError as ``read_slice``."""
    with opened(one.path) as image:
        image.seek(one.page)
        return image.height, image.width


def window_of(volume: Volume, percentiles: tuple[float, float] = (0.5, 99.5)) -> Window:
    """``volume_window`` of all slices of a volume, also of those that were not asked for."""
    every = sorted(volume.slices + volume.left_out, key=lambda one: one.number)
    return volume_window(every, percentiles)


def volume_window(slices: Sequence[CtSlice], percentiles: tuple[float, float] = (0.5, 99.5)) -> Window:
    """The window between two percentiles of the grey values of a volume, in bounded memory.

    At most 64 slices, evenly spread, stand for all. Those that cannot be read are left out; with none left, or all of
    one value, the window is the range of 8 bits.
    """
    counts = np.zeros(_LEVELS, np.int64)
    with SliceReader() as read:
        for index in evenly(len(slices), _WINDOW_SLICES):
            try:
                counts += np.bincount(read(slices[index]).ravel(), minlength=_LEVELS)
            except UserError:
                continue
    return _percentile_window(counts, percentiles)


def _percentile_window(counts: np.ndarray, percentiles: tuple[float, float]) -> Window:
    total = np.cumsum(counts)
    if not total[-1]:
        return Window(0.0, 255.0)
    low, high = np.searchsorted(total, np.maximum(np.ceil(np.array(percentiles) / 100 * total[-1]), 1))
    if low == high:  # nearly all pixels are background
        used = np.flatnonzero(counts)
        low, high = used[0], used[-1]
    return Window(float(low), float(high))


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts "b2" before "b10"; digits of any script count."""
    parts = re.split(r"(\d+)", name)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part)


def _read_folder(folder: Path, battery: str, axis: str) -> tuple[Volume, list[str]]:
    slices, problems = _slices_of(folder, numbered=True)
    kept: dict[int, CtSlice] = {}
    for one in slices:
        if one.number in kept:
            problems.append(f"{one.path}: slice number {one.number} is that of {kept[one.number].name} too; left out")
        else:
            kept[one.number] = one
    numbers = sorted(kept)
    return Volume(battery, axis, tuple(kept[number] for number in numbers), _step(numbers)), problems


def _step(numbers: Sequence[int]) -> int:
    """The most frequent distance of neighbours, of equally frequent ones the smallest; 1 for a single number."""
    gaps = Counter(after - before for before, after in pairwise(numbers))
    return min(gaps, key=lambda gap: (-gaps[gap], gap), default=1)


def _slices_of(folder: Path, numbered: bool) -> tuple[list[CtSlice], list[str]]:
    """The slices of the TIFF files in a folder, in natural order. Not ``numbered``: they are counted from 0.

    A file that cannot be opened counts as a slice, which tells why as soon as it is read.
    """
    slices: list[CtSlice] = []
    problems: list[str] = []
    for path in sorted((p for p in folder.iterdir() if _is_tiff(p)), key=lambda p: natural_key(p.name)):
        digits = re.search(r"\d+$", path.stem)
        pages, problem = _pages_of(path)
        if problem:
            problems.append(problem)
            continue
        if numbered and digits is None and pages == 1:
            problems.append(f"{path}: no slice number at the end of the name; name it like slice_0001.tif")
            continue
        first = int(digits.group()) if digits and numbered else 0 if numbered else len(slices)
        for page in range(pages):
            name = path.stem if pages == 1 else f"{path.stem}_page{page:04d}"
            slices.append(CtSlice(path, page, first + page, name))
    return slices, problems


def _pages_of(path: Path) -> tuple[int, str]:
    """How many pages a file has, 1 if it cannot be opened; and why it cannot be taken for so many slices, or ""."""
    image: Image.Image | None = None
    try:
        with opened(path) as image:
            pages, described = getattr(image, "n_frames", 1), _pages_described(image)
    except UserError as error:
        return 1, str(error) if image is not None else ""
    if pages == 1 < described:
        what = f"an ImageJ stack of {described} slices, of which only the first can be found"
        return 1, f"{path}: {what}; save it as BigTIFF or as single slices"
    return pages, ""


def _pages_described(image: Image.Image) -> int:
    """The number of slices that ImageJ notes in a stack; 1 in other files.

    Over 4 GB, where directories cannot point, it writes the first one only, and the pixels of all slices behind it.
    """
    text = str(getattr(image, "tag_v2", {}).get(ExifTags.Base.ImageDescription, ""))
    noted = re.search(r"^images=(\d{1,9})\s*$", text, re.MULTILINE)
    return int(noted[1]) if noted is not None and text.startswith("ImageJ=") else 1


def _within(volume: Volume, numbers: tuple[int, int] | None) -> Volume:
    if numbers is None:
        return volume
    inside = [numbers[0] <= one.number <= numbers[1] for one in volume.slices]
    kept = tuple(one for one, asked in zip(volume.slices, inside, strict=True) if asked)
    left_out = tuple(one for one, asked in zip(volume.slices, inside, strict=True) if not asked)
    return Volume(volume.battery, volume.axis, kept, volume.step, left_out)


def _why_none(
    folder: Path,
    listing: Listing,
    seen_axes: set[str],
    axes: Sequence[str] | None,
    numbers: tuple[int, int] | None,
) -> str:
    if axes is not None and not seen_axes & set(axes):
        found = ", ".join(sorted(seen_axes)) or "none"
        return f"{folder}: no axis folder is named {', '.join(axes)}; there are: {found} (axis_names)"
    if listing.problems and not listing.left_out:
        return f"{folder}: no slice is left; {listing.problems[0]}"
    if numbers is not None:
        return f"{folder}: no slice with a number from {numbers[0]} to {numbers[1]} (filter_index_range)"
    return f"{folder}: holds no slice; it should hold <battery_id>/<axis>/*_NNNN.tif"


def _folders(folder: Path) -> list[Path]:
    found = (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(found, key=lambda path: natural_key(path.name))


def _is_tiff(path: Path) -> bool:
    return path.suffix.lower() in TIFF_SUFFIXES and not path.name.startswith(".") and path.is_file()
