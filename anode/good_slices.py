"""Read the good slices that PatchCore learns from: each slice once, for all regions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np

from fastener.anode.regions import crop
from fastener.anode.settings import AnodeSettings
from fastener.common.errors import UserError
from fastener.common.sampling import evenly
from fastener.datasets.ct_folders import Listing
from fastener.datasets.ct_slices import CtSlice, SliceReader, Volume
from fastener.datasets.ct_window import Window, as_rgb, window_of
from fastener.models.progress import Progress, no_progress


class GreyPictures(Sequence[np.ndarray]):
    """Hold grey pictures, uint8 (H, W), and hand them out as RGB (H, W, 3): a third of the memory."""

    def __init__(self) -> None:
        self._pictures: list[np.ndarray] = []

    def append(self, grey: np.ndarray) -> None:
        """Add one picture, uint8 (H, W)."""
        self._pictures.append(grey)

    def __len__(self) -> int:
        return len(self._pictures)

    @overload
    def __getitem__(self, place: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, place: slice) -> list[np.ndarray]: ...
    def __getitem__(self, place: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(place, slice):
            return [as_rgb(grey) for grey in self._pictures[place]]
        return as_rgb(self._pictures[place])


@dataclass(frozen=True)
class GoodSlices:
    """Hold the pictures of good slices by region.

    Parameters
    ----------
    crops
        Region name -> the region's picture in each readable slice.
    batteries
        Region name -> number of the battery of each picture, counted from 0.
    names
        Region name -> battery, axis and slice of each picture.
    """

    crops: dict[str, GreyPictures]
    batteries: dict[str, list[int]]
    names: dict[str, list[str]]


def read_good_slices(
    listing: Listing,
    settings: AnodeSettings,
    *,
    progress: Progress = no_progress,
    warn: Callable[[str], None] = lambda line: None,
) -> GoodSlices:
    """Read at most ``patchcore.max_slices`` good slices, evenly spread, and cut out all regions.

    A slice that cannot be read, or that does not hold a region, is reported to ``warn`` and left out.
    """
    every = [(volume, one) for volume in listing.volumes for one in volume.slices]
    chosen = [every[index] for index in evenly(len(every), settings.patchcore.max_slices)]
    numbers = {name: index for index, name in enumerate(dict.fromkeys(volume.battery for volume in listing.volumes))}
    names = [region.name for region in settings.roi_config]
    good = GoodSlices(
        {name: GreyPictures() for name in names}, {name: [] for name in names}, {name: [] for name in names}
    )
    windows: dict[str, Window] = {}
    with SliceReader() as reader:
        for volume, one in progress(chosen, len(chosen), "reading"):
            if volume.name not in windows:
                windows[volume.name] = window_of(_only(volume, chosen), settings.window_percentiles, reader)
            try:
                grey = windows[volume.name].grey(reader(one))
            except UserError as error:
                warn(str(error))
                continue
            for region in settings.roi_config:
                try:
                    good.crops[region.name].append(crop(grey, region, one))
                except UserError as error:
                    warn(str(error))
                    continue
                good.batteries[region.name].append(numbers[volume.battery])
                good.names[region.name].append(f"{volume.name}/{one.name}")
    return good


def _only(volume: Volume, chosen: Sequence[tuple[Volume, CtSlice]]) -> Volume:
    """Return the volume with only its chosen slices asked for, so that the reader keeps no other slice."""
    asked = {one for owner, one in chosen if owner is volume}
    left_out = tuple(one for one in volume.slices + volume.left_out if one not in asked)
    return replace(volume, slices=tuple(one for one in volume.slices if one in asked), left_out=left_out)
