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

from datasets.images import read_image
from datasets.near_copies import signature
from errors import UserError
from preprocessing.pipeline import Prepared, Preprocessor

Source = Path | np.ndarray
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Fingerprint:
    """What tells a photo from others: SHA-256 of its file ("" for an array), and its perceptual signature (4096,)."""

    checksum: str
    signature: np.ndarray


@dataclass(frozen=True)
class Loaded:
    """One photo, prepared; or why not, in one line. ``path`` is None for an array."""

    path: Path | None
    prepared: Prepared | None
    error: str = ""


def photo_of(source: Source) -> np.ndarray:
    """The photo as uint8 RGB (H, W, 3). Raises UserError if it cannot be read."""
    return source if isinstance(source, np.ndarray) else read_image(source)


def fingerprint(source: Source, photo: np.ndarray | None = None) -> Fingerprint:
    """Identify a photo; ``photo`` saves reading it again. Raises UserError if it cannot be read."""
    photo = photo_of(source) if photo is None else photo
    checksum = "" if isinstance(source, np.ndarray) else hashlib.sha256(source.read_bytes()).hexdigest()
    return Fingerprint(checksum, signature(photo))


def load(source: Source, preprocessor: Preprocessor) -> Loaded:
    """Read (a path) or take (uint8 RGB (H, W, 3)) a photo and prepare it."""
    path = None if isinstance(source, np.ndarray) else source
    try:
        return Loaded(path, preprocessor(photo_of(source)))
    except UserError as error:
        return Loaded(path, None, str(error))


def ahead(function: Callable[[T], R], items: Iterable[T], workers: int, window: int) -> Iterator[R]:
    """``map(function, items)`` in order, computed by ``workers`` threads at most ``window`` items ahead.

    Memory does not grow with the number of items. With no workers it is plain ``map``.
    """
    if workers == 0:
        yield from map(function, items)
        return
    rest = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[R]] = deque(pool.submit(function, item) for item in islice(rest, window))
        try:
            while pending:
                yield pending.popleft().result()
                pending.extend(pool.submit(function, item) for item in islice(rest, 1))
        finally:
            for future in pending:
                future.cancel()


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of ``size`` items; the last may be shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
