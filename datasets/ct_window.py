"""Window the grey values of a CT volume to 8 bits.

Grey values of a scan measure density on a scale of the scanner's own. The window lies between two percentiles of the
whole volume, that is of all slices of a battery along an axis. A window of its own for each slice would stretch a slice
that shows little, and would hide a drift.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fastener.common.errors import UserError
from fastener.common.sampling import evenly
from fastener.datasets.ct_dicom import HIGHEST, LOWEST, is_dicom, read_header
from fastener.datasets.ct_slices import CtSlice, SliceReader, Volume

# Percentiles of more slices would hardly differ.
_SAMPLE = 64


@dataclass(frozen=True)
class Window:
    """Map grey values to 8 bits: ``low`` and everything below becomes 0, ``high`` and everything above 255."""

    low: float
    high: float

    def grey(self, values: np.ndarray) -> np.ndarray:
        """Map grey values of any depth, (H, W), to uint8 (H, W)."""
        level = (values.astype(np.float32) - self.low) * (255.0 / max(self.high - self.low, 1e-6))
        return np.asarray(np.rint(np.clip(level, 0, 255)), np.uint8)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Map grey values of any depth, (H, W), to uint8 RGB (H, W, 3)."""
        return as_rgb(self.grey(values))


def as_rgb(grey: np.ndarray) -> np.ndarray:
    """Repeat grey values (H, W) in three channels: (H, W, 3)."""
    return np.repeat(grey[..., None], 3, axis=2)


def window_of(
    volume: Volume, percentiles: tuple[float, float] = (0.5, 99.5), reader: SliceReader | None = None
) -> Window:
    """Find the window of all slices of a volume, including those that were not asked for.

    Slices in DICOM files that all name one window, as a scanner's operator chose it, are shown in that window.

    ``reader`` keeps the slices that are read for the window and asked for later, so that they are decoded once.
    """
    every = sorted(volume.slices + volume.left_out, key=lambda one: one.number)
    if (stated := _stated_window(every)) is not None:
        return stated
    if reader is None:
        return volume_window(every, percentiles)
    asked = set(volume.slices)
    return volume_window(every, percentiles, lambda one: reader.peek(one) if one in asked else reader(one))


def _stated_window(slices: Sequence[CtSlice]) -> Window | None:
    """Return the window that all DICOM files of ``slices`` name; None if there are other files or windows."""
    found = set()
    for one in slices:
        if not is_dicom(one.path):
            return None
        try:
            found.add(read_header(one.path).window)
        except UserError:
            continue
    (window,) = found if len(found) == 1 else (None,)
    return None if window is None else Window(*window)


def volume_window(
    slices: Sequence[CtSlice],
    percentiles: tuple[float, float] = (0.5, 99.5),
    read: Callable[[CtSlice], np.ndarray] | None = None,
) -> Window:
    """Find the window between two percentiles of the grey values of ``slices``, in bounded memory.

    At most 64 slices, evenly spread, stand for all. Unreadable slices are left out. If none is left, or all pixels have
    one value, the window is the range of 8 bits. ``read`` replaces a reader of its own.
    """
    if read is None:
        with SliceReader() as reader:
            return volume_window(slices, percentiles, reader)
    counts = np.zeros(HIGHEST - LOWEST + 1, np.int64)
    for index in evenly(len(slices), _SAMPLE):
        try:
            values = read(slices[index]).ravel().astype(np.int32)
            counts += np.bincount(values - LOWEST, minlength=len(counts))
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
    return Window(float(low + LOWEST), float(high + LOWEST))
