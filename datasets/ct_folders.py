"""List the CT slices in a folder: ``<input_dir>/<battery_id>/<axis>/*_NNNN.tif``, fewer levels or more.

One file holds one slice or many: TIFF, PNG, BMP, JPEG or DICOM. Whatever else lies beside slices is named.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from PIL import ExifTags, Image

from fastener.common.errors import UserError
from fastener.datasets.ct_dicom import is_dicom, read_header
from fastener.datasets.ct_places import folders_with_slices, is_slice, natural_key, not_read, sub_folders
from fastener.datasets.ct_slices import CtSlice, Volume
from fastener.datasets.images import opened


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

    A folder that holds slices is a volume. Its own name is that of the axis, and the names of the folders above it, up
    to ``folder``, are that of the battery. A battery without folders for axes has the axis "", which no ``axes`` leave
    out. The number of a slice is that in its DICOM header, else the last group of digits in its file name. Further
    pages of a file count on from there, or from 0 in a file without digits. Both ends of ``numbers`` are included.

    Raises UserError if no slice is left, and if two folders stand for the same volume.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; it should hold <battery_id>/<axis>/*_NNNN.tif")
    volumes: list[Volume] = []
    passed_over: list[Volume] = []
    problems: list[str] = []
    seen_axes: set[str] = set()
    named: dict[tuple[str, str], Path] = {}
    for place in folders_with_slices(folder, problems):
        battery, axis = _names(place, folder)
        if (battery, axis) in named:
            raise UserError(f"{named[battery, axis]} and {place} are both called {battery}/{axis}; rename one of them")
        named[battery, axis] = place
        seen_axes |= {axis} - {""}
        if axes is not None and axis and axis not in axes:
            passed_over.append(Volume(battery, axis, ()))
            continue
        volume, wrong = _read_folder(place, battery, axis)
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
    """List the slices to learn from: the volumes below ``folder``, or its own files as one volume.

    Raises UserError as ``list_volumes`` does, and if ``folder`` holds both.
    """
    if folder.is_dir() and any(is_slice(path) for path in folder.iterdir()):
        for battery in sub_folders(folder):
            if folders_with_slices(battery, []):
                raise UserError(f"{folder}: holds slices and batteries (such as {battery.name}); move one of them away")
        problems = list(not_read(folder))
        slices, wrong = _slices_of(folder, numbered=False)
        return Listing((Volume(folder.name, "", tuple(slices)),), (*problems, *wrong))
    return list_volumes(folder, axes, numbers)


def _names(place: Path, folder: Path) -> tuple[str, str]:
    """Name the battery and the axis of a folder of slices below ``folder``."""
    parts = place.relative_to(folder).parts
    if len(parts) < 2:
        return (parts[0] if parts else folder.resolve().name), ""
    return "_".join(parts[:-1]), parts[-1]


def _read_folder(folder: Path, battery: str, axis: str) -> tuple[Volume, list[str]]:
    slices, problems = _slices_of(folder, numbered=True)
    kept: dict[int, CtSlice] = {}
    for one in slices:
        if one.number in kept:
            problems.append(f"{one.path}: slice number {one.number} is that of {kept[one.number].name} too; left out")
        else:
            kept[one.number] = one
    numbers = sorted(kept)
    step = _step(numbers)
    spacing = _spacing([kept[number] for number in numbers], step)
    return Volume(battery, axis, tuple(kept[number] for number in numbers), step, spacing=spacing), problems


def _spacing(slices: Sequence[CtSlice], step: int) -> float | None:
    """Find the distance of neighbouring slices in mm, which only DICOM files state: by their places, else as noted."""
    places: dict[int, float] = {}
    noted = None
    for one in slices:
        if not is_dicom(one.path):
            continue
        with suppress(UserError):
            header = read_header(one.path)
            noted = noted if noted is not None else header.spacing[2]
            if header.place is not None and header.frames == 1:
                places[one.number] = header.place
    gaps = sorted(abs(places[n + step] - place) for n, place in places.items() if n + step in places)
    return gaps[len(gaps) // 2] or noted if gaps else noted


def _step(numbers: Sequence[int]) -> int:
    """Return the most frequent distance of neighbours, the smallest of equally frequent ones; 1 for a single number."""
    gaps = Counter(after - before for before, after in pairwise(numbers))
    return min(gaps, key=lambda gap: (-gaps[gap], gap), default=1)


def _slices_of(folder: Path, numbered: bool) -> tuple[list[CtSlice], list[str]]:
    """List the slices of the files in a folder, in natural order. Unless ``numbered``, count them from 0.

    An unreadable file still occupies its slice number, so that its absence shows.
    """
    slices: list[CtSlice] = []
    problems: list[str] = []
    for path in sorted((p for p in folder.iterdir() if is_slice(p)), key=lambda p: natural_key(p.name)):
        pages, problem = _pages_of(path)
        if problem:
            problems.append(problem)
            continue
        number = _number_of(path)
        if numbered and number is None and pages == 1:
            problems.append(f"{path}: no slice number at the end of the name; name it like slice_0001.tif")
            continue
        first = (number or 0) if numbered else len(slices)
        for page in range(pages):
            stem = path.name.removesuffix(path.suffix) if not path.suffix[1:].isdecimal() else path.name
            name = stem if pages == 1 else f"{stem}_page{page:04d}"
            slices.append(CtSlice(path, page, first + page, name))
    return slices, problems


def _number_of(path: Path) -> int | None:
    """Find the number of a file's first slice: in its DICOM header, else the digits at the end of its name."""
    if is_dicom(path):
        with suppress(UserError):
            if (number := read_header(path).number) is not None:
                return number
    stem = path.name if path.suffix[1:].isdecimal() else path.stem
    digits = re.search(r"\d+$", stem)
    return int(digits.group()) if digits else None


def _pages_of(path: Path) -> tuple[int, str]:
    """Count the pages of a file, 1 if it cannot be opened; the second value is why they are no slices, or ""."""
    if is_dicom(path):
        with suppress(UserError):
            return read_header(path).frames, ""
        return 1, ""
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
    return f"{folder}: holds no slice; it should hold <battery_id>/<axis>/*_NNNN.tif (or PNG, BMP, JPEG, DICOM)"
