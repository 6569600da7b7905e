"""Inspections as pictures: a heatmap over its photo, boxes round regions, sheets under the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from fastener.datasets.images import read_reduced, shrunk
from fastener.inspection.drawing import (
    Picture,
    contact_sheet,
    draw_boxes,
    heatmap_overlay,
    mask_picture,
    raw_heatmap,
    shorten,
    with_colour_bar,
)
from fastener.inspection.result import Inspection
from fastener.inspection.tables import inspected_in_part, photo_name
from fastener.preprocessing.pipeline import Prepared

# Longer side of a photo in a picture for people, in pixels.
PREVIEW_SIDE = 1600
# Lower end of the scale of raw heatmaps, in parts of its upper end.
_FAINTEST = 4e-4
T = TypeVar("T")


def preview(path: Path, side: int = PREVIEW_SIDE) -> Picture:
    """Read a photo with its longer side at most ``side`` pixels. Raises UserError if it cannot be read."""
    return shrunk(read_reduced(path, side)[0], side)


def picture_names(relative: Mapping[T, Path]) -> dict[T, Path]:
    """Name each photo's pictures below the output folder: by its stem, or its full name where two share a stem."""
    names = list(relative.values())
    taken = Counter(names + [name.with_suffix("") for name in names])
    return {key: name if taken[name.with_suffix("")] > 1 else name.with_suffix("") for key, name in relative.items()}


def overlay_picture(photo: Picture, inspection: Inspection) -> Picture:
    """Lay the heatmap over the photo, or over a shrunk copy of it, on the model's one colour scale."""
    return heatmap_overlay(photo, inspection.photo_map(photo.shape[:2]), *colour_range(inspection))


def colour_range(inspection: Inspection) -> tuple[float, float]:
    """Give the map values at the two ends of the model's one colour scale.

    Below half the threshold the photo keeps its own colours; the colours are brightest from 2.5 times the threshold.
    """
    threshold = max(inspection.threshold, 1e-6)
    return 0.5 * threshold, 2.5 * threshold


def regions_picture(photo: Picture, inspection: Inspection) -> Picture:
    """Draw a box round every region on the photo, or on a shrunk copy of it."""
    scale = photo.shape[1] / inspection.photo_size[1]
    boxes = [
        (round(r.x * scale), round(r.y * scale), round((r.x + r.width) * scale), round((r.y + r.height) * scale))
        for r in inspection.regions
    ]
    return draw_boxes(photo, boxes)


def detection_picture(
    photo: Picture, inspection: Inspection, *, cell: int = 420, overlay: Picture | None = None
) -> Picture:
    """Show photo, overlay and regions side by side under the verdict, each in a square of ``cell`` pixels.

    ``overlay`` is the photo's overlay picture, where it has been drawn already.
    """
    overlay = overlay_picture(photo, inspection) if overlay is None else overlay
    return contact_sheet(
        [[photo, overlay, regions_picture(photo, inspection)]],
        [_caption(inspection)],
        ["photo", "anomaly map", _regions_title(inspection)],
        cell=cell,
    )


def result_picture(photo: Picture, inspection: Inspection, mask: np.ndarray | None, *, cell: int = 320) -> Picture:
    """Show photo, raw heatmap and overlay side by side under the verdict.

    ``mask``, bool (H, W), marks the pixels of the defect; the sheet shows it as the ground truth. None: no such panel.
    """
    row = [photo, heatmap_picture(photo, inspection), overlay_picture(photo, inspection)]
    titles = ["photo", "anomaly map", "overlay"]
    if mask is not None:
        row.append(mask_picture(mask))
        titles.append("ground truth")
    return contact_sheet([row], [_caption(inspection)], titles, cell=cell)


def heatmap_picture(photo: Picture, inspection: Inspection) -> Picture:
    """Draw the raw anomaly map in the size of ``photo``, also below the threshold, with a colour bar at its right.

    Colours follow the logarithm, as most places of a healthy part lie far below the threshold, of what a place has
    beyond the map's lowest value: kinds of evidence that are silent there give every place the same value, below which
    nothing could be seen. The scale reaches from a thousandth of the threshold to 2.5 times it.
    """
    high = colour_range(inspection)[1]
    low = _FAINTEST * high
    map_ = inspection.photo_map(photo.shape[:2])
    least = float(np.nanmin(map_)) if np.isfinite(map_).any() else 0.0
    silent = max(0.0, min(least, inspection.threshold / 2))

    def level(value: np.ndarray | float) -> np.ndarray:
        # Voices are joined as the sides of a right angle are.
        return np.asarray(np.log(np.maximum(np.sqrt(np.maximum(np.square(value) - silent**2, 0.0)), low)))

    bottom, top = float(np.log(low)), float(level(high))
    lowest = float(np.hypot(silent, low))
    values = {"": high, "threshold ": inspection.threshold, "healthy ": inspection.healthy_score, " ": lowest}
    marks = {f"{name}{value:.3g}".strip(): float(level(value)) for name, value in values.items()}
    return with_colour_bar(raw_heatmap(level(map_), bottom, top), bottom, top, marks)


def preprocessing_sheet(pairs: Sequence[tuple[Path, Prepared]], *, cell: int = 200) -> Picture:
    """Show each photo in the canonical frame, its mask, and the input of the model: one row a photo."""
    rows = [[one.photo, mask_picture(one.mask), one.image] for _, one in pairs]
    captions = [path.name + ("" if one.part_found else " (no part found: whole frame)") for path, one in pairs]
    return contact_sheet(rows, captions, ["before", "mask", "after"], cell=cell)


def _caption(inspection: Inspection) -> str:
    """State the verdict so shortly that a sheet cuts nothing but the file name."""
    name = shorten(photo_name(inspection), lambda text: len(text) <= 20)
    score = f"score {inspection.score:.2f}, threshold {inspection.threshold:.2f}"
    seen = f" of the {inspection.inspected_share:.0%} inspected" if inspected_in_part(inspection) else ""
    return f"{inspection.verdict}{seen}: {inspection.problem or score} ({name})"


def _regions_title(inspection: Inspection) -> str:
    """Say what boxes the picture has: a photo that passes has none, whatever its map."""
    some = bool(inspection.regions)
    return {
        "NO PART": "no region: not judged",
        "normal": "no region: it passes",
        "LOOK": "places to look at" if some else "no single place to look at",
        "ANOMALOUS": "regions over the threshold" if some else "no single place over the threshold",
    }[inspection.verdict]
