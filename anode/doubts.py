"""Doubts about a run that its figures raise: a threshold that does not fit, a battery unlike all others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from fastener.anode.settings import AnodeSettings
from fastener.anode.volumes import VolumeResult
from fastener.inspection.decision import softplus_inverse
from fastener.models.calibration import gross_outliers, healthy_threshold

# From this share of NG slices on, the threshold is doubted rather than the batteries.
_NEARLY_ALL = 0.9
# Fewer batteries do not say which of them is unlike the others.
_LEAST_BATTERIES = 4
# Fewer slices say too little of a spread.
_LEAST_SLICES = 8
# A guess below this share of the calibrated threshold is doubted.
_FAR_BELOW = 0.5


def doubts(results: Sequence[VolumeResult], settings: AnodeSettings) -> Iterator[str]:
    """Yield one line for each doubt about the results of a run."""
    for name in results[0].hits if results else ():
        yield from _all_ng(name, results)
        for region in settings.roi_config:
            yield from _unlike(name, region.name, results)


def about_threshold(settings: AnodeSettings, calibrated: Mapping[str, float]) -> Iterator[str]:
    """Yield a line for each region if the threshold is a number; ``calibrated`` are thresholds by region."""
    asked = settings.patchcore_threshold
    if not isinstance(asked, float):
        return
    for region, threshold in calibrated.items():
        yield (
            f"region {region}: patchcore_threshold {asked:g} is used; calibrated on the good slices it is "
            f"{threshold:.3f}. Numbers of another PatchCore, or of other settings, do not carry over"
        )


def suggestion(
    results: Sequence[VolumeResult], settings: AnodeSettings, calibrated: Mapping[str, float]
) -> Iterator[str]:
    """Yield proposals for ``patchcore_threshold`` by the slices at hand, most of which are taken for good."""
    found = []
    for region in settings.roi_config:
        peaks = np.array(_peaks("patchcore", region.name, results))
        if len(peaks) < _LEAST_SLICES:
            yield f"region {region.name}: {len(peaks)} slices are too few for a guess; {_LEAST_SLICES} are needed"
            continue
        # PatchCore's scale squeezes low peaks together; straightened, those of good slices are nearly normal. Cracks
        # raise peaks only, so the lower half alone says how those of good slices spread.
        straight = softplus_inverse(peaks)
        middle = np.median(straight)
        lower = straight[straight <= middle]
        mirrored = np.concatenate([lower, 2 * middle - lower])
        threshold = float(np.logaddexp(0.0, healthy_threshold(mirrored, settings.patchcore.alpha).threshold))
        doubt = _doubt_about(threshold, peaks, calibrated[region.name])
        yield (
            f"region {region.name}: {threshold:.3f} is a guess by {len(peaks)} slices at hand, most of which are taken "
            f"for good; calibrated on the good slices: {calibrated[region.name]:.3f}" + doubt
        )
        found += [] if doubt else [threshold]
    if found:
        yield f"to use the guess: patchcore_threshold: {max(found):.3f}"


def _doubt_about(guess: float, peaks: np.ndarray, calibrated: float) -> str:
    """Say in which case a guess is worth nothing; "" if it lies near the calibrated threshold."""
    if np.median(peaks) > calibrated:
        return ". Most of these slices peak above that: if they are cracked, the guess lets such cracks pass"
    if guess < _FAR_BELOW * calibrated:
        return ". It is far lower: slices that the model has learned say nothing, give it slices that it has not"
    return ""


def _all_ng(name: str, results: Sequence[VolumeResult]) -> Iterator[str]:
    slices = sum(len(result.volume.slices) - len(result.errors) for result in results)
    bad = sum(len(result.counted[name]) for result in results)
    if slices and bad >= _NEARLY_ALL * slices:
        yield (
            f"{name}: {bad} of {slices} slices are NG: so many cracks are unlikely; the threshold, the region or the "
            "grey window does not fit these slices. Learn good slices of this scanner and this kind of battery, and "
            "compare the peaks in _log.csv with the threshold"
        )


def _unlike(name: str, region: str, results: Sequence[VolumeResult]) -> Iterator[str]:
    names = dict.fromkeys(result.volume.battery for result in results)
    peaks = {one: _peaks(name, region, [r for r in results if r.volume.battery == one]) for one in names}
    of_battery = {one: found for one, found in peaks.items() if found}
    if len(of_battery) < _LEAST_BATTERIES:
        return
    batteries, medians = list(of_battery), np.array([float(np.median(peaks)) for peaks in of_battery.values()])
    for sign in (1, -1):
        for place in gross_outliers(sign * medians).tolist():
            others = np.median(np.delete(medians, place))
            yield (
                f"{name}, region {region}: battery {batteries[place]} is unlike all others: its slices peak at "
                f"{medians[place]:.3f}, the others at {others:.3f}; look at it, at its window and at its place"
            )


def _peaks(name: str, region: str, results: Sequence[VolumeResult]) -> list[float]:
    """Collect the highest score of one detector in one region of each slice."""
    return [peak for result in results for (_, where), peak in result.peaks.get(name, {}).items() if where == region]
