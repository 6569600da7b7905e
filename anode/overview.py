"""Pictures of a whole volume for a person: strips along the axis, and a contact sheet of hits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from fastener.anode.report import told
from fastener.anode.settings import AnodeSettings, RegionOfInterest
from fastener.anode.strip import strip_picture
from fastener.anode.volumes import InspectedSlice, VolumeResult
from fastener.common.sampling import evenly
from fastener.inspection.drawing import contact_sheet, draw_boxes, save_picture

_CELL, _COLUMNS, _MOST = 200, 6, 36


class HitSheet:
    """Keep small pictures of the regions of slices with hits that count, for ``write_overview``; about 36 in memory."""

    def __init__(self, settings: AnodeSettings):
        self._regions = {region.name: region for region in settings.roi_config}
        self.pictures: list[tuple[str, np.ndarray]] = []

    def __call__(self, one: InspectedSlice) -> None:
        """Take a slice in if a hit in it counts."""
        by_region: dict[str, list[tuple[int, int, int, int]]] = {}
        for hits in one.counted.values():
            for hit in hits:
                b = hit.box
                by_region.setdefault(hit.region, []).append((int(b.x_min), int(b.y_min), int(b.x_max), int(b.y_max)))
        for name, boxes in by_region.items():
            place = self._regions[name]
            cut = draw_boxes(one.picture, boxes)[place.y_min : place.y_max, place.x_min : place.x_max]
            self.pictures.append((f"{one.slice.number} {name}", _small(cut)))
        if len(self.pictures) > 2 * _MOST:
            self.pictures = [self.pictures[index] for index in evenly(len(self.pictures), _MOST)]


def write_overview(
    result: VolumeResult, sheet: HitSheet, settings: AnodeSettings, thresholds: Mapping[str, Mapping[str, float]]
) -> list[Path]:
    """Write ``overview/<battery>/<axis>_...png``: a strip for each detector and region, and the sheet of hits.

    A strip shows, for each slice (left to right, by number) and each row of the region (top to bottom), the highest
    score of the map in that row, so that a crack through several slices is a line. White marks slices without a map;
    the runs that count stand below. ``thresholds`` are by detector and region.
    """
    folder = settings.output_inference_dir / "overview" / result.volume.battery
    stem = f"{result.volume.axis}_" if result.volume.axis else ""
    written = []
    for name, profiles in result.profiles.items():
        for region in settings.roi_config:
            strip = _strip(result, region, {n: p for (n, where), p in profiles.items() if where == region.name})
            if strip is not None:
                path = folder / f"{stem}{name}_{region.name}_strip.png"
                drawn = strip_picture(
                    strip,
                    thresholds[name][region.name],
                    title=f"{result.volume.name}, {name}, {region.name}",
                    numbers=[one.number for one in result.volume.slices],
                    runs={run: told(run, result.volume) for run in result.runs[name] if run.region == region.name},
                )
                save_picture(drawn, path)
                written.append(path)
    hits = folder / f"{stem}hits.png"
    hits.unlink(missing_ok=True)
    if sheet.pictures:
        chosen = [sheet.pictures[index] for index in evenly(len(sheet.pictures), _MOST)]
        rows = [chosen[start : start + _COLUMNS] for start in range(0, len(chosen), _COLUMNS)]
        captions = ["slices " + ", ".join(text for text, _ in row) for row in rows]
        save_picture(contact_sheet([[picture for _, picture in row] for row in rows], captions, cell=_CELL), hits)
        written.append(hits)
    return written


def _strip(result: VolumeResult, region: RegionOfInterest, profiles: Mapping[int, np.ndarray]) -> np.ndarray | None:
    """Stack the profiles of a region by slice number: float32 (h, slices), NaN where there is none."""
    numbers = [one.number for one in result.volume.slices]
    if not profiles:
        return None
    strip = np.full((len(next(iter(profiles.values()))), len(numbers)), np.nan, np.float32)
    for place, number in enumerate(numbers):
        if number in profiles:
            strip[:, place] = profiles[number]
    return strip


def _small(picture: np.ndarray) -> np.ndarray:
    scale = _CELL / max(picture.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=how), np.uint8)
