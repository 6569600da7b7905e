"""Run detectors over a volume: every region of every slice, then the rule of consecutive slices."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from fastener.anode.hits import Found, Hit, Predictor, Run, counted_in, find_runs, hits_by_slice
from fastener.anode.regions import crop, in_slice
from fastener.anode.settings import AnodeSettings, RegionOfInterest
from fastener.common.errors import UserError
from fastener.datasets.ct_slices import CtSlice, SliceReader, Volume
from fastener.datasets.ct_window import Window, as_rgb, window_of
from fastener.inspection.reading import ahead, batches
from fastener.models.progress import Progress, no_progress

# Detector name -> region name -> predictor of boxes in that region.
Detectors = Mapping[str, Mapping[str, Predictor]]
HitsByNumber = dict[int, list[Hit]]


@dataclass(frozen=True)
class VolumeResult:
    """Hold the result of one volume. Only hits that belong to a run count.

    Parameters
    ----------
    volume
        The inspected slices.
    window
        Grey values that became black and white.
    errors
        Slice number -> why the slice could not be inspected.
    hits
        Detector name -> all hits.
    runs
        Detector name -> hits over consecutive slices.
    peaks
        Detector name -> (slice number, region) -> highest score in the region, for detectors that tell.
    profiles
        Detector name -> (slice number, region) -> highest score in each row of the region's map.
    """

    volume: Volume
    window: Window
    errors: dict[int, str]
    hits: dict[str, list[Hit]]
    runs: dict[str, list[Run]]
    peaks: dict[str, dict[tuple[int, str], float]] = field(default_factory=dict)
    profiles: dict[str, dict[tuple[int, str], np.ndarray]] = field(default_factory=dict)

    @cached_property
    def counted(self) -> dict[str, HitsByNumber]:
        """The hits that count: detector name -> slice number -> hits."""
        return {name: hits_by_slice(runs) for name, runs in self.runs.items()}


@dataclass(frozen=True)
class InspectedSlice:
    """Hold one slice whose hits are decided.

    Parameters
    ----------
    slice
        The slice.
    grey
        Its windowed grey values, uint8 (H, W).
    counted
        Detector name -> the hits that count.
    """

    slice: CtSlice
    grey: np.ndarray
    counted: dict[str, list[Hit]]

    @property
    def picture(self) -> np.ndarray:
        """The windowed slice as uint8 RGB (H, W, 3)."""
        return as_rgb(self.grey)


def inspect_volume(
    volume: Volume,
    settings: AnodeSettings,
    detectors: Detectors,
    *,
    progress: Progress = no_progress,
    show: Callable[[InspectedSlice], None] | None = None,
) -> VolumeResult:
    """Run every detector on every region of every slice. A slice that cannot be read costs only itself.

    ``show`` gets each readable slice, in order, as soon as later slices can no longer change which of its hits count.
    So each slice is decoded once. The grey values of ``consecutive_slices`` slices, and of three batches that are being
    read and inspected, are in memory at a time.
    """
    errors: dict[int, str] = {}
    hits: dict[str, HitsByNumber] = {name: {} for name in detectors}
    peaks: dict[str, dict[tuple[int, str], float]] = {name: {} for name in detectors}
    profiles: dict[str, dict[tuple[int, str], np.ndarray]] = {name: {} for name in detectors}
    waiting: deque[_Read] = deque()

    def show_until(number: float) -> None:
        while show is not None and waiting and waiting[0].slice.number <= number:
            one = waiting.popleft()
            counted = _counted(hits, one.slice.number, volume, settings, errors)
            show(InspectedSlice(one.slice, one.grey, counted))

    with SliceReader() as reader:
        window = window_of(volume, settings.window_percentiles, reader)
        with closing(_read_ahead(volume, reader, window, settings)) as read:
            for batch in batches(progress(read, len(volume.slices), volume.name), settings.run.batch_size):
                errors.update((one.slice.number, one.error) for one in batch if one.error)
                readable = [one for one in batch if not one.error]
                for name, of_region in detectors.items():
                    for number, region, found in _findings(readable, settings.roi_config, of_region):
                        for box in found.boxes:
                            hits[name].setdefault(number, []).append(in_slice(box, region, number))
                        if found.peak is not None:
                            peaks[name][number, region.name] = found.peak
                        if found.profile.size:
                            profiles[name][number, region.name] = found.profile
                if show is not None:
                    waiting.extend(readable)
                    reach = settings.consecutive_slices - 1 + len(errors)
                    show_until(batch[-1].slice.number - reach * volume.step)
            show_until(float("inf"))
    every = {name: [hit for of_slice in by_number.values() for hit in of_slice] for name, by_number in hits.items()}
    runs = {name: find_runs(one, settings.consecutive_slices, volume.step, errors) for name, one in every.items()}
    return VolumeResult(volume, window, errors, every, runs, peaks, profiles)


@dataclass(frozen=True)
class _Read:
    """Hold one slice: its grey values and the pictures of its regions, or the reason why there are none."""

    slice: CtSlice
    grey: np.ndarray
    crops: tuple[np.ndarray, ...]
    error: str = ""


def _read_ahead(
    volume: Volume, reader: SliceReader, window: Window, settings: AnodeSettings
) -> Generator[_Read, None, None]:
    """Yield the slices in order. Once the generator is closed, no thread reads any more."""
    run = settings.run
    yield from ahead(
        lambda one: _read(one, reader, window, settings.roi_config), volume.slices, run.workers, 2 * run.batch_size
    )


def _read(one: CtSlice, reader: SliceReader, window: Window, regions: Sequence[RegionOfInterest]) -> _Read:
    try:
        grey = window.grey(reader(one))
        return _Read(one, grey, tuple(as_rgb(crop(grey, region, one)) for region in regions))
    except UserError as error:
        return _Read(one, np.zeros((0, 0), np.uint8), (), str(error))


def _findings(
    read: Sequence[_Read], regions: Sequence[RegionOfInterest], of_region: Mapping[str, Predictor]
) -> Iterator[tuple[int, RegionOfInterest, Found]]:
    """Yield the number of the slice, the region and what was found in it."""
    if not read:
        return
    for index, region in enumerate(regions):
        findings = of_region[region.name].find([one.crops[index] for one in read])
        for one, found in zip(read, findings, strict=True):
            yield one.slice.number, region, found


def _counted(
    hits: Mapping[str, HitsByNumber],
    number: int,
    volume: Volume,
    settings: AnodeSettings,
    unreadable: Collection[int],
) -> dict[str, list[Hit]]:
    at_least, step = settings.consecutive_slices, volume.step
    return {name: counted_in(number, by_number, at_least, step, unreadable) for name, by_number in hits.items()}
