"""Read CT slices: 8- or 16-bit grey values of TIFF, PNG and other pictures, or DICOM, one slice a file or many."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from PIL import Image

from fastener.common.errors import UserError
from fastener.datasets.ct_dicom import is_dicom, read_header, read_pixels
from fastener.datasets.images import opened

_LEVELS = 2**16  # grey values of the deepest slices that are no DICOM
# Memory for slices that are read before they are needed; beyond that they are read again.
_KEPT_BYTES = 256 * 2**20


@dataclass(frozen=True)
class CtSlice:
    """Name one slice.

    Parameters
    ----------
    path
        The file.
    page
        Page of the file, from 0.
    number
        Place of the slice along the axis.
    name
        Name that tells the slice from the others in its folder.
    """

    path: Path
    page: int
    number: int
    name: str


@dataclass(frozen=True)
class Volume:
    """List the slices of one battery along one axis, ascending by number.

    A file that cannot be read is listed too, so that its absence shows.

    Parameters
    ----------
    battery, axis
        Names of the battery and of the axis.
    slices
        The slices that were asked for.
    step
        Difference between the numbers of neighbouring slices.
    left_out
        Slices whose numbers were not asked for. Their grey values still count for the window of the volume.
    spacing
        Distance of the slices in mm; None if their files do not say.
    """

    battery: str
    axis: str
    slices: tuple[CtSlice, ...]
    step: int = 1
    left_out: tuple[CtSlice, ...] = ()
    spacing: float | None = None

    @property
    def name(self) -> str:
        """Battery and axis, for messages."""
        return f"{self.battery}/{self.axis}" if self.axis else self.battery


def read_slice(one: CtSlice) -> np.ndarray:
    """Read the grey values of a slice: uint8 or uint16 (H, W) as stored, of DICOM int32. Colour becomes grey.

    Raises UserError for a file that is missing, truncated, deeper than 16 bits or not an image, and for a slice in
    which every pixel has the same value.
    """
    with SliceReader() as read:
        return read(one)


class SliceReader:
    """Read many slices, also from several threads; each thread keeps its last multi-page file open.

    Pillow finds a page by following all directories before it, so opening a file anew for each page would take time
    that grows with the square of the pages. Use the reader in a ``with`` statement, whose end closes all files. No
    thread may still be reading then.
    """

    def __init__(self) -> None:
        self._files: dict[int, _OpenFile] = {}
        self._kept: dict[CtSlice, np.ndarray] = {}

    def __enter__(self) -> SliceReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kept.clear()
        while self._files:
            self._files.popitem()[1].files.close()

    def __call__(self, one: CtSlice) -> np.ndarray:
        """Read a slice as ``read_slice`` does. A file with a damaged page is closed."""
        kept = self._kept.pop(one, None)
        return kept if kept is not None else self._read(one)

    def peek(self, one: CtSlice) -> np.ndarray:
        """Read a slice and keep it for the next call, so that it is decoded once; at most 256 MB are kept."""
        if one in self._kept:
            return self._kept[one]
        grey = self._read(one)
        if sum(kept.nbytes for kept in self._kept.values()) + grey.nbytes <= _KEPT_BYTES:
            self._kept[one] = grey
        return grey

    def _read(self, one: CtSlice) -> np.ndarray:
        if is_dicom(one.path):
            return _not_constant(read_pixels(one.path, one.page), one)
        thread = threading.get_ident()
        last = self._files.pop(thread, None)
        if last is not None and last.path != one.path:
            last.files.close()
            last = None
        with last.files if last is not None else ExitStack() as files:
            image = last.image if last is not None else files.enter_context(opened(one.path))
            grey = _grey(image, one.page)
            if getattr(image, "is_animated", False):
                self._files[thread] = _OpenFile(one.path, image, files.pop_all())
        return _checked(grey, one)


@dataclass(frozen=True)
class _OpenFile:
    """Hold a file that stays open until ``files`` is closed."""

    path: Path
    image: Image.Image
    files: ExitStack


def slice_size(one: CtSlice) -> tuple[int, int]:
    """Return (height, width) of a slice without reading its pixels. Raises UserError as ``read_slice`` does."""
    if is_dicom(one.path):
        return read_header(one.path).size
    with opened(one.path) as image:
        image.seek(one.page)
        return image.height, image.width


def _grey(image: Image.Image, page: int) -> np.ndarray:
    image.seek(page)
    image.load()
    return np.asarray(image if image.mode[:2] in ("L", "I", "I;", "F") else image.convert("L"))


def _checked(grey: np.ndarray, one: CtSlice) -> np.ndarray:
    if grey.ndim != 2 or grey.dtype.kind == "f" or grey.min() < 0 or grey.max() >= _LEVELS:
        raise UserError(f"{one.path}: {grey.dtype} grey values are no 8- or 16-bit slice; export it as unsigned 16-bit")
    return _not_constant(grey.astype(np.uint8 if grey.dtype.itemsize == 1 else np.uint16), one)


def _not_constant(grey: np.ndarray, one: CtSlice) -> np.ndarray:
    if grey.min() == grey.max():
        raise UserError(
            f"{one.path}: slice {one.name} is constant, every pixel is {grey.flat[0]}; scan or export it again"
        )
    return grey
