"""Detectors over a volume: every slice, every region, then the rule of consecutive slices."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fastener.anode.hits import Hit, Predictor, Run, find_runs, hits_by_slice
from fastener.anode.regions import crop, in_slice
from fastener.anode.settings import AnodeSettings, RegionOfInterest
from fastener.common.errors import UserError
from fastener.datasets.ct_slices import CtSlice, SliceReader, Volume, Window, window_of
from fastener.inspection.reading import ahead, batches
from fastener.models.progress import Progress, no_progress

# A detector's name -> region -> what finds boxes there.
Detectors = Mapping[str, Mapping[str, Predictor]]


@dataclass(frozen=True)
class VolumeResult:
    """What was found in one volume.

    ``errors``: slice number -> why it could not be inspected. ``hits`` and ``runs`` are by detector; only hits that
    belong to a run count.
    """

    volume: Volume
    window: Window
    errors: dict[int, str]
    hits: dict[str, list[Hit]]
    runs: dict[str, list[Run]]

    @cached_property
    def counted(self) -> dict[str, dict[int, list[Hit]]]:
        """The hits that count: detector -> slice number -> hits."""
        return {name: hits_by_slice(runs) for name, runs in self.runs.items()}


def inspect_volume(
    volume: Volume, settings: AnodeSettings, detectors: Detectors, progress: Progress = no_progress
) -> VolumeResult:
    """Run every detector on every region of every slice. A slice that cannot be read costs that slice."""
    window = window_of(volume, settings.window_percentiles)
    errors: dict[int, str] = {}
    hits: dict[str, list[Hit]] = {name: [] for name in detectors}
    with SliceReader() as reader, closing(_read_ahead(volume, reader, window, settings)) as read:
        for batch in batches(progress(read, len(volume.slices), volume.name), settings.run.batch_size):
            errors.update((one.slice.number, one.error) for one in batch if one.error)
            readable = [one for one in batch if not one.error]
            for name, of_region in detectors.items():
                hits[name] += _hits(readable, settings.roi_config, of_region)
    runs = {name: find_runs(found, settings.consecutive_slices, volume.step) for name, found in hits.items()}
    return VolumeResult(volume, window, errors, hits, runs)


@dataclass(frozen=True)
class _Read:
    """One slice: the pictures of its regions, or why there are none."""

    slice: CtSlice
    crops: tuple[np.ndarray, ...]
    error: str = ""


def _read_ahead(
    volume: Volume, reader: SliceReader, window: Window, settings: AnodeSettings
) -> Generator[_Read, None, None]:
    """The slices in order; when it is closed, no thread reads any more."""
    run = settings.run
    yield from ahead(
        lambda one: _read(one, reader, window, settings.roi_config), volume.slices, run.workers, 2 * run.batch_size
    )


def _read(one: CtSlice, reader: SliceReader, window: Window, regions: Sequence[RegionOfInterest]) -> _Read:
    try:
        picture = window(reader(one))
        return _Read(one, tuple(crop(picture, region, one) for region in regions))
    except UserError as error:
        return _Read(one, (), str(error))


def _hits(
    read: Sequence[_Read], regions: Sequence[RegionOfInterest], of_region: Mapping[str, Predictor]
) -> Iterable[Hit]:
    if not read:
        return
    for index, region in enumerate(regions):
        found = of_region[region.name].predict([one.crops[index] for one in read])
        for one, boxes in zip(read, found, strict=True):
            yield from (in_slice(box, region, one.slice.number) for box in boxes)
