"""Turn shares into areas in mm² where the scale of a photo is known: given for all, or read from its scale bar."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastener.common.errors import UserError
from fastener.corrosion.analysis import ComponentResult
from fastener.corrosion.comparison import MeasuredShot
from fastener.corrosion.scale_bar import bar_length
from fastener.datasets.images import read_image

# Millimetres per pixel of a full-size photo; None where that is not known.
Scale = Callable[[Path], float | None]
NO_BAR = "no scale bar found, so its areas are not in mm²"

_KEYS = {"colour_rust_pct": "rust_area_mm2", "white_corrosion_pct": "white_area_mm2", "dark_pct": "dark_area_mm2"}
_DIGITS = 3


class ScaleBars:
    """Read the scale of each photo from the bar that the microscope drew into it.

    Parameters
    ----------
    millimetres
        Length that the bar stands for.
    """

    def __init__(self, millimetres: float) -> None:
        self.millimetres = millimetres

    def __call__(self, path: Path) -> float | None:
        """Return mm per pixel of a photo; None if it holds no bar or cannot be read."""
        try:
            length = bar_length(read_image(path))
        except UserError:
            return None
        return None if length is None else self.millimetres / length


def with_areas(record: Mapping[str, Any], result: ComponentResult, scale: Scale) -> dict[str, Any]:
    """Return a component's record with areas in mm²: of each shot, and the means over the shots of each time point.

    Where a photo has no scale, its areas are None and its ``quality`` says so.
    """
    timepoints = {
        f"{point.hours:g}": _point(record["timepoints"][f"{point.hours:g}"], point.shots, scale)
        for point in result.points
    }
    return {**record, "timepoints": timepoints}


def _point(point: Mapping[str, Any], shots: tuple[MeasuredShot, ...], scale: Scale) -> dict[str, Any]:
    measured = [_shot(record, shot, scale) for record, shot in zip(point["shots"], shots, strict=True)]
    found: dict[str, Any] = {**point, "shots": measured}
    for area in ("part_area_mm2", *_KEYS.values()):
        values = [shot[area] for shot in measured if shot[area] is not None]
        found[area] = round(statistics.fmean(values), _DIGITS) if values else None
    return found


def _shot(record: Mapping[str, Any], shot: MeasuredShot, scale: Scale) -> dict[str, Any]:
    mm_per_pixel = scale(shot.view.shot.path)
    part = None if mm_per_pixel is None else shot.view.part_pixels * mm_per_pixel**2
    found = {**record, "part_area_mm2": None if part is None else round(part, _DIGITS)}
    for share, area in _KEYS.items():
        known = part is not None and record.get(share) is not None
        found[area] = round(record[share] / 100.0 * part, _DIGITS) if known and part is not None else None
    if part is None:
        found["quality"] = [*record["quality"], NO_BAR]
    return found
