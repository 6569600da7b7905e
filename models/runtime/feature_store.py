"""The patch features of all training images, in half precision: in memory as long as they fit, then in a file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO

import numpy as np
import torch

from fastener.common.errors import UserError

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
        self._held = np.empty((0, 0), np.float16)
        self._file: IO[bytes] | None = None
        self._handed_out = False

    def append(self, features: torch.Tensor) -> None:
        """Take in features (n, h, w, c) on any device. Raises UserError if the file cannot be written."""
        assert not self._handed_out, "rows are in use, and would move"
        n, height, width, channels = features.shape
        self.grid, self.n_images = (height, width), self.n_images + n
        new = features.reshape(-1, channels).half().cpu().numpy()
        held = len(self._held)
        # Grows where it is: a list of parts, to be joined in the end, would need twice the memory then.
        self._held.resize((held + len(new), channels), refcheck=False)
        self._held[held:] = new
        if self._file is not None or 2 * self.n_images * height * width * channels > self.memory_limit:
            self._spill()

    def rows(self) -> torch.Tensor:
        """All patches, float16 (n * h * w, c), in the order they came; changes to it change the store, which can grow
        no more."""
        self._handed_out = True
        if self._file is not None:
            shape = (self.n_images * self.grid[0] * self.grid[1], self._held.shape[1])
            return torch.from_numpy(np.memmap(self._file, np.float16, "r+", shape=shape))
        return torch.from_numpy(self._held)

    def close(self) -> None:
        """Let go of the features; ``rows`` that are still in use stay readable."""
        self._held = np.empty((0, 0), np.float16)
        if self._file is not None:
            self._file.close()

    def _spill(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()
            self._file.write(self._held.data)
            self._file.flush()
        except OSError as error:
            raise UserError(
                f"cannot write features to {tempfile.gettempdir()}: {error.strerror}; "
                "set TMPDIR to a folder with more room, or raise run.memory_limit_mb"
            ) from None
        self._held = self._held[:0].copy()


def chunks(rows: torch.Tensor) -> Iterator[torch.Tensor]:
    """Views of ``rows`` (n, c), some thousand rows each: what is computed on one needs no copy of all."""
    yield from rows.split(_ROWS_AT_ONCE)
