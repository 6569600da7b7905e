"""List the CT slices in a folder: ``<input_dir>/<battery_id>/<axis>/*_NNNN.tif``, one slice a file or many."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from PIL import ExifTags, Image

from fastener.common.errors import UserError
from fastener.datasets.ct_slices import CtSlice, Volume
from fastener.datasets.images import opened

TIFF_SUFFIXES = frozenset({".tif", ".tiff"})


@dataclass(frozen=True)
class Listing:
    """Hold the content of a folder.

    Parameters
    ----------
    volumes
        Volumes with slices that were asked for, by battery and axis in natural order.
    problems
        One message for each file that cannot be used.
    passed_over
        Volumes without any slice that was asked for. Volumes along other axes are not read, and list no slices.
    """

    volumes: tuple[Volume, ...]
    problems: tuple[str, ...]
    passed_over: tuple[Volume, ...] = ()

    @property
    def left_out(self) -> int:
        """Number of slices that were left out because of their numbers."""
        return sum(len(volume.left_out) for volume in self.volumes + self.passed_over)


def list_volumes(folder: Path, axes: Sequence[str] | None = None, numbers: tuple[int, int] | None = None) -> Listing:
    """List the volumes below ``folder``: only those along ``axes`` (None: all), and only slices within ``numbers``.

    The number of a slice is the last group of digits in its file name. Further pages of a file count on from there, or
    from 0 in a file without digits. Both ends of ``numbers`` are included. Raises UserError if no slice is left.
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
    """List the slices to learn from: the volumes below ``folder``, or its own TIFF files as one volume.

    Raises UserError as ``list_volumes`` does, and if ``folder`` holds both.
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


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts "b2" before "b10"; digits of any script count."""
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
    """Return the most frequent distance of neighbours, the smallest of equally frequent ones; 1 for a single number."""
    gaps = Counter(after - before for before, after in pairwise(numbers))
    return min(gaps, key=lambda gap: (-gaps[gap], gap), default=1)


def _slices_of(folder: Path, numbered: bool) -> tuple[list[CtSlice], list[str]]:
    """List the slices of the TIFF files in a folder, in natural order. Unless ``numbered``, count them from 0.

    An unreadable file still occupies its slice number, so that its absence shows.
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
    """Count the pages of a file, 1 if it cannot be opened; the second value is why they are no slices, or ""."""
    image: Image.Image | None = None
    try:
        with opened(path) as image:
            pages, described = getattr(image, "n_frames", 1), _pages_described(image)
    except UserError as error:
        return 1, str(error) if image is not None else ""
    if pages == 1 < described:
        found = f"an ImageJ stack of {described} slices, of which only the first can be found"
        return 1, f"{path}: {found}; save it as BigTIFF or as single slices"
    return pages, ""


def _pages_described(image: Image.Image) -> int:
    """Read the number of slices that ImageJ notes in a stack; 1 in other files.

    TIFF directories cannot point beyond 4 GB. In a larger stack, ImageJ writes only the first directory, followed by
    the pixels of all slices.
    """
    text = str(getattr(image, "tag_v2", {}).get(ExifTags.Base.ImageDescription, ""))
    noted = re.search(r"^images=(\d{1,9})\s*$", text, re.MULTILINE)
    return int(noted[1]) if noted is not None and text.startswith("ImageJ=") else 1


def _within(volume: Volume, numbers: tuple[int, int] | None) -> Volume:
    if numbers is None:
        return volume
    asked = tuple(one for one in volume.slices if numbers[0] <= one.number <= numbers[1])
    left_out = tuple(one for one in volume.slices if not numbers[0] <= one.number <= numbers[1])
    return replace(volume, slices=asked, left_out=left_out)


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
