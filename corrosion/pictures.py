"""Draw a component's series: photo, heatmap and rust mask of every shot, all in one frame."""

from __future__ import annotations

import cv2
import numpy as np

from fastener.corrosion.analysis import ComponentResult, TimePoint
from fastener.corrosion.colour_growth import GREEN, RUST, TARNISH
from fastener.corrosion.comparison import MeasuredShot
from fastener.datasets.images import shrunk
from fastener.inspection.drawing import Picture, contact_sheet, heatmap_overlay
from fastener.inspection.pictures import overlay_picture, preview

CLASS_COLOURS = {RUST: (213, 94, 0), TARNISH: (240, 228, 66), GREEN: (0, 158, 115)}
_CELL = 300
_PHOTO_SIDE = 700


def photo_picture(shot: MeasuredShot) -> Picture:
    """Draw the unprocessed photo in the canonical frame; the background is dimmed to show the measured outline."""
    photo = shot.view.prepared.photo.astype(np.float32)
    dimmed = 0.55 * photo + 0.45 * 235.0
    drawn = np.where(shot.view.surface.mask[..., None], photo, dimmed)
    return np.rint(drawn).astype(np.uint8)


def heat_picture(shot: MeasuredShot, threshold: float) -> Picture:
    """Draw the heatmap over the photo, on the colour scale of the model."""
    view = shot.view
    photo = photo_picture(shot)
    side = photo.shape[1], photo.shape[0]
    heat = np.where(view.heat_mask, view.heat, 0.0).astype(np.float32)
    threshold = max(threshold, 1e-6)
    enlarged = np.asarray(cv2.resize(heat, side), np.float32)
    return heatmap_overlay(photo, enlarged, threshold / 2, 1.5 * threshold)


def mask_picture(shot: MeasuredShot) -> Picture:
    """Draw rust, tarnish and green oxidation as flat colours over the grey photo."""
    photo = photo_picture(shot)
    grey = cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    drawn = np.asarray(np.rint(110 + 0.55 * grey), np.uint8)
    for kind, colour in CLASS_COLOURS.items():
        drawn[shot.colour.classes == kind] = colour
    return drawn


def grid(result: ComponentResult, threshold: float, cell: int = _CELL) -> Picture:
    """Draw ``<component>_grid.png``: one row for each shot."""
    rows, captions = [], []
    for point in result.points:
        for shot in point.shots:
            rows.append([photo_picture(shot), heat_picture(shot, threshold), mask_picture(shot)])
            captions.append(caption(point, shot))
    titles = ["photo, as measured", f"heatmap, alarm at {threshold:.3g}", "rust (orange), tarnish, green"]
    return contact_sheet(rows, captions, titles, cell=cell)


def strip(point: TimePoint, threshold: float, side: int = 360) -> list[list[Picture]]:
    """Draw photo, heatmap and mask of each shot for the HTML report, with sides of at most ``side`` pixels."""
    return [
        [shrunk(one, side) for one in (photo_picture(shot), heat_picture(shot, threshold), mask_picture(shot))]
        for shot in point.shots
    ]


def overlays(result: ComponentResult, cell: int = 420) -> Picture:
    """Draw ``<component>_overlays.png``: the whole photos under their heatmaps, one row for each time point."""
    rows, captions = [], []
    for point in result.points:
        rows.append([overlay_picture(_whole(shot), shot.view.inspection) for shot in point.shots])
        names = ", ".join(f"{shot.view.inspection.score:.2f}" for shot in point.shots)
        captions.append(f"T{point.hours:g} h: score {names} (threshold {point.shots[0].view.inspection.threshold:.2f})")
    return contact_sheet(rows, captions, None, cell=cell)


def caption(point: TimePoint, shot: MeasuredShot) -> str:
    """Write the caption of a row: hours, number of the shot, figures, faults."""
    number = "" if shot.view.shot.number is None else f", shot {shot.view.shot.number}"
    growth = "" if shot.growth is None else f", growth {shot.growth:.1f} %"
    faults = f" [{', '.join(shot.flags)}]" if shot.flags else ""
    return f"T{point.hours:g} h{number}: rust {shot.colour.rust:.1f} %{growth}{faults}"


def _whole(shot: MeasuredShot) -> Picture:
    return preview(shot.view.shot.path, _PHOTO_SIDE)
