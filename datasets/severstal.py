"""Read the layout of the Severstal steel defect competition (Kaggle, 2019): ``train_images/*.jpg``, ``train.csv``.

The table has the columns ImageId, ClassId, EncodedPixels, with a row for each class that an image shows. Its older form
has ImageId_ClassId, EncodedPixels, with four rows for each image. An image is free of defects if it has no row, or if
EncodedPixels is empty in all of its rows.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fastener.common.errors import UserError
from fastener.common.spreadsheet import read_rows
from fastener.datasets.images import list_images
from fastener.datasets.labelled_image import LabelledImage

TABLE = "train.csv"
IMAGES = "train_images"
PREFIX = "severstal_"  # class 3 is "severstal_3" among classes of other data sets


@dataclass(frozen=True)
class SteelStrip(LabelledImage):
    """Hold an image, its classes (``labels``), and the run-length encoded pixels of each class (``encoded``)."""

    encoded: tuple[str, ...] = ()

    @property
    def defect(self) -> str:
        """The class of a strip with defects of a single class, such as "severstal_3"; "" for any other strip."""
        return f"{PREFIX}{self.labels[0]}" if len(self.labels) == 1 else ""

    def view(self, photo: np.ndarray) -> np.ndarray:
        """Cut the square that shows most pixels of the defects out of a photo, uint8 RGB (H, W, 3)."""
        height, width = photo.shape[:2]
        side = min(height, width)
        rows, columns = (_densest(self.mask((height, width)).sum(axis), side) for axis in (1, 0))
        return photo[rows : rows + side, columns : columns + side]

    @property
    def has_mask(self) -> bool:
        """Tell whether the strip has defects, all of which are marked."""
        return bool(self.encoded)

    def mask(self, size: tuple[int, int]) -> np.ndarray:
        """Mark the pixels of all defects, bool (H, W), in a photo of ``size``. Raises UserError if they do not fit."""
        result = np.zeros(size, bool)
        for label, runs in zip(self.labels, self.encoded, strict=True):
            try:
                result |= decode_runs(runs, size)
            except ValueError as error:
                raise UserError(f"{TABLE}: {self.path.name}, class {label}: {error}") from None
        return result


def load_severstal(root: Path) -> list[SteelStrip]:
    """List the images of ``train_images``, sorted, with their labels from ``train.csv``.

    Raises UserError if the folder, the table or a column is missing, and for a row about a missing image.
    """
    images = list_images(root / IMAGES)
    table = root / TABLE
    defects: dict[str, dict[str, str]] = {path.name: {} for path in images}
    for number, name, label, runs in _rows(table):
        if name not in defects:
            raise UserError(f"{table}, line {number}: {name} is not in {root / IMAGES}")
        if runs:
            if label in defects[name]:
                raise UserError(f"{table}, line {number}: a second row for {name}, class {label}")
            defects[name][label] = runs
    return [
        SteelStrip(path, bool(found), tuple(sorted(found)), encoded=tuple(found[label] for label in sorted(found)))
        for path in images
        for found in [defects[path.name]]
    ]


def _densest(counts: np.ndarray, length: int) -> int:
    """Find where the window of this length begins that holds most of ``counts`` (n,); the middle one of several."""
    sums = np.convolve(counts, np.ones(length, np.int64), "valid")
    best = np.flatnonzero(sums == sums.max())
    return int(best[len(best) // 2])


def decode_runs(text: str, size: tuple[int, int]) -> np.ndarray:
    """Decode run-length encoded pixels to bool (H, W): pairs of start and length, counted from 1 down the columns.

    Raises ValueError for an odd count of numbers, for text that is not a number, and for runs outside the image.
    """
    words = text.split()
    if len(words) % 2:
        raise ValueError("EncodedPixels must hold pairs of start and length")
    total = size[0] * size[1]
    try:
        starts, lengths = np.array(words[::2], np.int64) - 1, np.array(words[1::2], np.int64)
    except OverflowError:
        raise ValueError("EncodedPixels hold a number beyond all images") from None
    # The sum of start and length could overflow, so their difference to the total is compared.
    if (starts < 0).any() or (lengths < 1).any() or (lengths > total - starts).any():
        raise ValueError(f"EncodedPixels leave the {size[1]} x {size[0]} pixels of the image")
    flat = np.zeros(total, bool)
    for start, length in zip(starts, lengths, strict=True):
        flat[start : start + length] = True
    return flat.reshape(size[1], size[0]).T


def _rows(table: Path) -> Iterator[tuple[int, str, str, str]]:
    """Yield line number, image, class and pixels of each row, in either form of the table."""
    try:
        yield from _parsed(table, read_rows(table))
    except OSError as error:
        raise UserError(f"{table}: {error.strerror}; it lists the defects, see datasets/severstal.py") from None
    except UnicodeDecodeError:
        raise UserError(f"{table}: not a table in UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{table}: cannot be read as CSV: {error}; check the file and its quotes") from None


def _parsed(table: Path, rows: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, str, str, str]]:
    header = next(rows, (1, []))[1]
    joined = {"ImageId_ClassId", "EncodedPixels"} <= set(header)
    if not joined and not {"ImageId", "ClassId", "EncodedPixels"} <= set(header):
        raise UserError(f"{table}: columns must be ImageId, ClassId, EncodedPixels, or ImageId_ClassId, EncodedPixels")
    for number, cells in rows:
        row = dict(zip(header, cells, strict=False))
        if joined:
            name, _, label = row.get("ImageId_ClassId", "").rpartition("_")
        else:
            name, label = row.get("ImageId", ""), row.get("ClassId", "")
        yield number, name.strip(), label.strip(), row.get("EncodedPixels", "")
