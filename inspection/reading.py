"""Read and prepare photos ahead of the model, in threads, a few batches at a time."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from fastener.common.errors import UserError
from fastener.datasets.images import read_reduced, shrunk
from fastener.datasets.near_copies import signature
from fastener.preprocessing.pipeline import Prepared, Preprocessor

_THUMBNAIL_OF = 256  # pixels a side are enough for a signature

Source = Path | np.ndarray
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Fingerprint:
    """What tells a photo from others: SHA-256 of its file ("" for an array), and its perceptual signature (4096,).

    ``part_found``: whether the part was told from the ground; True where it was not looked for.
    """

    checksum: str
    signature: np.ndarray
    part_found: bool = True


@dataclass(frozen=True)
class Loaded:
    """One photo, prepared; or why not, in one line. ``path`` is None for an array.

    ``photo`` is the decoded photo, uint8 RGB (H, W, 3), or a shrunk copy of it, if it was asked for.
    """

    path: Path | None
    prepared: Prepared | None
    error: str = ""
    photo: np.ndarray | None = None


def prepare(source: Source, preprocessor: Preprocessor) -> tuple[np.ndarray, Prepared]:
    """Read (a path) or take (uint8 RGB (H, W, 3)) a photo, and prepare it: the photo, and what became of it.

    Large JPEGs are read at the size that ``preprocessor`` makes use of; all results are in pixels of the whole photo.
    Raises UserError if it cannot be read.
    """
    if isinstance(source, np.ndarray):
        return source, preprocessor(source)
    photo, size = read_reduced(source, preprocessor.useful_side)
    return photo, preprocessor(photo).of_photo(size)


def fingerprint(source: Source, photo: np.ndarray | None = None) -> Fingerprint:
    """Identify a photo; ``photo`` saves reading it again. Raises UserError if it cannot be read."""
    if photo is None:
        photo = source if isinstance(source, np.ndarray) else read_reduced(source, _THUMBNAIL_OF)[0]
    checksum = "" if isinstance(source, np.ndarray) else hashlib.sha256(source.read_bytes()).hexdigest()
    return Fingerprint(checksum, signature(photo))


def load(source: Source, preprocessor: Preprocessor, *, photo_side: int | None = None) -> Loaded:
    """Read (a path) or take (uint8 RGB (H, W, 3)) a photo and prepare it.

    With ``photo_side`` the result keeps the photo for pictures, its longer side at most that many pixels.
    """
    path = None if isinstance(source, np.ndarray) else source
    try:
        photo, prepared = prepare(source, preprocessor)
    except UserError as error:
        return Loaded(path, None, str(error))
    return Loaded(path, prepared, photo=None if photo_side is None else shrunk(photo, photo_side))


def ahead(function: Callable[[T], R], items: Iterable[T], workers: int, window: int) -> Iterator[R]:
    """``map(function, items)`` in order, computed by ``workers`` threads at most ``window`` items ahead.

    Memory does not grow with the number of items. With no workers it is plain ``map``. Where ``items`` ends in an
    exception, an interruption say, the results of all items before it come first.
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
    """Lists of ``size`` items; the last may be shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
