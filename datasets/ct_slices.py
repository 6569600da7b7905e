"""CT slices of batteries: ``<input_dir>/<battery_id>/<axis>/*_NNNN.tif``, 8- or 16-bit, one slice a file or many.

Grey values of a scan mean density on a scale of the scanner's own. They are windowed to 8 bits by percentiles over the
whole volume (all slices of a battery along an axis): a window of each slice would stretch a slice that shows little,
and hide a drift.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from datasets.images import opened
from errors import UserError

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
    """What a folder holds: volumes, by battery and axis in natural order, and a line for each file that is no slice."""

    volumes: tuple[Volume, ...]
    problems: tuple[str, ...]


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
    problems: list[str] = []
    seen_axes: set[str] = set()
    for battery in _folders(folder):
        for axis in _folders(battery):
            seen_axes.add(axis.name)
            if axes is not None and axis.name not in axes:
                continue
            volume, wrong = _read_folder(axis, battery.name, axis.name)
            problems += wrong
            volume = _within(volume, numbers)
            if volume.slices:
                volumes.append(volume)
    if not volumes:
        raise UserError(_why_none(folder, seen_axes, axes, numbers))
    return Listing(tuple(volumes), tuple(problems))


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
    with opened(one.path) as image:
        image.seek(one.page)
        image.load()
        grey = np.asarray(image if image.mode[:2] in ("L", "I", "I;", "F") else image.convert("L"))
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
    for one in evenly(slices, _WINDOW_SLICES):
        try:
            counts += np.bincount(read_slice(one).ravel(), minlength=_LEVELS)
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


def evenly(items: Sequence[T], most: int) -> list[T]:
    """At most ``most`` of the items, evenly spread, first and last among them."""
    picks = np.unique(np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int))
    return [items[index] for index in picks]


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
    step = int(np.bincount(np.diff(numbers)).argmax()) if len(numbers) > 1 else 1
    return Volume(battery, axis, tuple(kept[number] for number in numbers), step), problems


def _slices_of(folder: Path, numbered: bool) -> tuple[list[CtSlice], list[str]]:
    """The slices of the TIFF files in a folder, in natural order. Not ``numbered``: they are counted from 0.

    A file that cannot be read counts as a slice, which tells why as soon as it is read.
    """
    slices: list[CtSlice] = []
    problems: list[str] = []
    for path in sorted((p for p in folder.iterdir() if _is_tiff(p)), key=lambda p: natural_key(p.name)):
        digits = re.search(r"\d+$", path.stem)
        try:
            with opened(path) as image:
                pages = getattr(image, "n_frames", 1)
        except UserError:
            pages = 1
        if numbered and digits is None and pages == 1:
            problems.append(f"{path}: no slice number at the end of the name; name it like slice_0001.tif")
            continue
        first = int(digits.group()) if digits and numbered else 0 if numbered else len(slices)
        for page in range(pages):
            name = path.stem if pages == 1 else f"{path.stem}_page{page:04d}"
            slices.append(CtSlice(path, page, first + page, name))
    return slices, problems


def _within(volume: Volume, numbers: tuple[int, int] | None) -> Volume:
    if numbers is None:
        return volume
    inside = [numbers[0] <= one.number <= numbers[1] for one in volume.slices]
    kept = tuple(one for one, asked in zip(volume.slices, inside, strict=True) if asked)
    left_out = tuple(one for one, asked in zip(volume.slices, inside, strict=True) if not asked)
    return Volume(volume.battery, volume.axis, kept, volume.step, left_out)


def _why_none(folder: Path, seen_axes: set[str], axes: Sequence[str] | None, numbers: tuple[int, int] | None) -> str:
    if axes is not None and not seen_axes & set(axes):
        found = ", ".join(sorted(seen_axes)) or "none"
        return f"{folder}: no axis folder is named {', '.join(axes)}; there are: {found} (axis_names)"
    if numbers is not None:
        return f"{folder}: no slice with a number from {numbers[0]} to {numbers[1]} (filter_index_range)"
    return f"{folder}: holds no slice; it should hold <battery_id>/<axis>/*_NNNN.tif"


def _folders(folder: Path) -> list[Path]:
    found = (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(found, key=lambda path: natural_key(path.name))


def _is_tiff(path: Path) -> bool:
    return path.suffix.lower() in TIFF_SUFFIXES and not path.name.startswith(".") and path.is_file()
