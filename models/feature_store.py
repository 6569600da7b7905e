"""The patch features of all training images, in half precision: in memory as long as they fit, then in a file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO

import numpy as np
import torch

from errors import UserError

_ROWS_AT_ONCE = 8192


class FeatureStore:
    """Grows by a batch at a time; never holds all features in single precision.

    Half precision keeps 11 bits, which moves a distance between patches by less than a thousandth of their norm. It is
    used whatever the number of images, so that a memory limit does not change the model.

    ``memory_limit``: bytes to be held in memory; with more, all go to a temporary file (in ``$TMPDIR``), which is
    mapped; it has no name, so that nothing is left of it after ``close`` or a crash.
    """

    def __init__(self, memory_limit: int):
        self.memory_limit = memory_limit
        self.grid: tuple[int, int] = (0, 0)
        self.n_images = 0
        self._parts: list[torch.Tensor] = []
        self._file: IO[bytes] | None = None
        self._channels = 0

    def append(self, features: torch.Tensor) -> None:
        """Take in features (n, h, w, c) on any device. Raises UserError if the file cannot be written."""
        n, height, width, self._channels = features.shape
        self.grid, self.n_images = (height, width), self.n_images + n
        self._parts.append(features.reshape(-1, self._channels).half().cpu())
        if self._file is not None or 2 * self.n_images * height * width * self._channels > self.memory_limit:
            self._spill()

    def rows(self) -> torch.Tensor:
        """All patches, float16 (n * h * w, c), in the order they came; changes to it change the store."""
        if self._file is not None:
            mapped = np.memmap(self._file, np.float16, "r+", shape=(self._length, self._channels))
            return torch.from_numpy(mapped)
        if len(self._parts) > 1:
            joined = torch.empty((self._length, self._channels), dtype=torch.float16)
            filled = 0
            while self._parts:  # each part is let go as soon as it is copied
                part = self._parts.pop(0)
                joined[filled : filled + len(part)] = part
                filled += len(part)
            self._parts = [joined]
        return self._parts[0]

    def close(self) -> None:
        """Let go of the features; ``rows`` that are still in use stay readable."""
        self._parts = []
        if self._file is not None:
            self._file.close()

    @property
    def _length(self) -> int:
        return self.n_images * self.grid[0] * self.grid[1]

    def _spill(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()
            for part in self._parts:
                self._file.write(part.numpy().tobytes())
            self._file.flush()
        except OSError as error:
            raise UserError(
                f"cannot write features to {tempfile.gettempdir()}: {error.strerror}; "
                "set TMPDIR to a folder with more room, or raise run.memory_limit_mb"
            ) from None
        self._parts = []


def chunks(rows: torch.Tensor) -> Iterator[torch.Tensor]:
    """Views of ``rows`` (n, c), some thousand rows each: what is computed on one needs no copy of all."""
    yield from rows.split(_ROWS_AT_ONCE)
