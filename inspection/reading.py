"""Read and prepare photos ahead of the model, in threads, a few batches at a time."""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from fastener.common.errors import UserError
from fastener.datasets.images import Photo, image_size, list_images, read_photo, rgb_of, shrunk
from fastener.datasets.levels import WhiteLevel
from fastener.datasets.near_copies import signature
from fastener.preprocessing.pipeline import Prepared, Preprocessor

_OWN_SCALE = "it has more than 8 bits, which the model never saw, and was scaled by its own levels"
_THUMBNAIL_OF = 384  # pixels a side are enough for a signature

# One photo: the path of a file, uint8 RGB (H, W, 3), or a Pillow image of any mode.
Source = str | Path | np.ndarray | Image.Image
# Photos as callers may give them: one after another, one alone, or the path of a folder.
Images = Source | Iterable[Source]
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Fingerprint:
    """Identify a photo.

    Attributes
    ----------
    checksum : str
        SHA-256 of the photo's file; "" for a photo that came as an array.
    signature : ndarray of float32, (d,)
        Perceptual signature, which copies of a photo share.
    part_found : bool
        Whether the part was told from the ground in any tile; True where no part was sought.
    tiles : int
        Number of frames that the preprocessor made of the photo.
    figures : ndarray of float64, (tiles, 5), or None
        Lightness, contrast and more of each frame, see inspection/input_check.py; None where they are not needed.
    name : str
        File name; "" for a photo that came as an array.
    outline : ndarray of float64, (4,), or None
        Figures of the part's outline, see inspection/outlines.py; None where they are not needed.
    notes : tuple of str
        What the user should know about how the photo was read.
    """

    checksum: str
    signature: np.ndarray
    part_found: bool = True
    tiles: int = 1
    figures: np.ndarray | None = None
    name: str = ""
    outline: np.ndarray | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Loaded:
    """Hold one photo that is ready for the model, or the reason why it is not.

    Attributes
    ----------
    path : Path or None
        File of the photo; None for a photo that came as an array.
    tiles : tuple of Prepared
        The frames that the preprocessor made of the photo, usually one; empty if the photo cannot be read.
    error : str
        One line that says why the photo cannot be read, or "".
    photo : ndarray of uint8, (H, W, 3), or None
        The decoded photo or a shrunk copy of it, RGB, where it was asked for or came as an array.
    notes : tuple of str
        What the user should know about how the photo was read.
    """

    path: Path | None
    tiles: tuple[Prepared, ...]
    error: str = ""
    photo: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def told_once(notes: Iterable[tuple[str, str]]) -> list[str]:
    """Put notes on photos, pairs of name and note, into one line for each kind: the first photo, and how many more.

    Notes that differ in numbers only are of one kind.
    """
    alike: dict[str, list[str]] = {}
    for name, note in notes:
        alike.setdefault(re.sub(r"[0-9][0-9.]*(e[+-]?[0-9]+)?", "#", note), []).append(f"{name}: {note}")
    more = (f" ({len(lines) - 1} more photo(s) like it)" if len(lines) > 1 else "" for lines in alike.values())
    return [lines[0] + rest for lines, rest in zip(alike.values(), more, strict=True)]


def sources_of(images: Images) -> Iterable[Source]:
    """Turn what a caller gave into photos one after another.

    A folder stands for all images in it (without its subfolders), and a single photo for a list of one. Raises
    UserError for a folder without images.
    """
    if isinstance(images, str | Path):
        return list_images(Path(images), recursive=False) if Path(images).is_dir() else [images]
    if isinstance(images, Image.Image) or (isinstance(images, np.ndarray) and images.ndim < 4):
        return [images]
    return images


def listed(images: Images) -> Sequence[Source]:
    """List photos whose number must be known; a sequence that makes its photos when asked for them stays as it is."""
    sources = sources_of(images)
    return sources if isinstance(sources, Sequence) else list(sources)


def path_of(source: Source) -> Path | None:
    """Return the file of a photo; None for an array or a Pillow image."""
    return Path(source) if isinstance(source, str | Path) else None


def decode(source: Source, longest: int, white_level: WhiteLevel = None) -> Photo:
    """Decode a photo to uint8 RGB (H, W, 3).

    A large JPEG file is decoded at a reduced size, of at least ``longest`` pixels on its longer side. Raises UserError
    for a file that cannot be read, and for an array that is not uint8 RGB.
    """
    if isinstance(source, str | Path):
        return read_photo(Path(source), longest=longest, white_level=white_level)
    photo = rgb_of(source, white_level) if isinstance(source, Image.Image) else source
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        raise UserError(f"a photo must be a uint8 RGB array (height, width, 3), not {photo.dtype} {photo.shape}")
    return Photo(photo, (photo.shape[0], photo.shape[1]))


def size_of(source: Source) -> tuple[int, int]:
    """Measure the (height, width) of a photo; of a file only the header is read. Raises UserError."""
    if isinstance(source, str | Path):
        return image_size(Path(source))
    return decode(source, _THUMBNAIL_OF).size


def prepare(source: Source, preprocessor: Preprocessor) -> tuple[Photo, tuple[Prepared, ...]]:
    """Decode a photo and prepare it: the decoded photo, and the frames that ``preprocessor`` made of it.

    A large JPEG file is decoded at the size that ``preprocessor`` makes use of; all results are in pixels of the
    full-size photo. Raises UserError if the photo cannot be read.
    """
    level = preprocessor.settings.white_level
    photo = decode(source, preprocessor.useful_side, level)
    if photo.is_deep and level is None:
        photo = replace(photo, notes=(*photo.notes, _OWN_SCALE))
    return photo, preprocessor.tiles(photo.pixels, photo.size)


def fingerprint(source: Source, photo: np.ndarray | None = None) -> Fingerprint:
    """Identify a photo; ``photo``, if it is decoded already, saves decoding it again. Raises UserError."""
    if photo is None:
        photo = decode(source, _THUMBNAIL_OF).pixels
    path = path_of(source)
    checksum = "" if path is None else hashlib.sha256(path.read_bytes()).hexdigest()
    return Fingerprint(checksum, signature(photo), name="" if path is None else path.name)


def load(source: Source, preprocessor: Preprocessor, *, photo_side: int | None = None) -> Loaded:
    """Decode and prepare a photo; one that cannot be read is a result, too.

    With ``photo_side`` the result holds the photo for pictures, its longer side at most that many pixels. Without it,
    the result holds an array that was given, as the caller holds it anyway.
    """
    path = path_of(source)
    try:
        photo, tiles = prepare(source, preprocessor)
    except UserError as error:
        return Loaded(path, (), str(error))
    if photo_side is not None:
        return Loaded(path, tiles, photo=shrunk(photo.pixels, photo_side), notes=photo.notes)
    return Loaded(path, tiles, photo=photo.pixels if path is None else None, notes=photo.notes)


def ahead(function: Callable[[T], R], items: Iterable[T], workers: int, window: int) -> Iterator[R]:
    """Compute ``map(function, items)`` in ``workers`` threads, in order and at most ``window`` items ahead.

    Memory does not grow with the number of items. With 0 workers this is plain ``map``. If ``items`` ends in an
    exception, such as an interruption, the results of all items before it are yielded first.
    """
    if workers == 0:
        yield from map(function, items)
        return
    rest = iter(items)
    pending: deque[Future[R]] = deque()
    stopped: BaseException | None = None
    with ThreadPoolExecutor(workers) as pool:
        try:
            while True:
                try:
                    more = () if stopped else islice(rest, window - len(pending))
                    pending.extend(pool.submit(function, item) for item in more)
                except BaseException as error:
                    stopped = error
                if not pending:
                    break
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
    if stopped:
        raise stopped


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Group items into lists of ``size`` items; the last list may be shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
