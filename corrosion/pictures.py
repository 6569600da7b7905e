"""Draw a component's series: photo, heatmap and classes of every shot, all in one frame."""

from __future__ import annotations

import cv2
import numpy as np

from fastener.corrosion.analysis import ComponentResult, TimePoint
from fastener.corrosion.colour_sectors import GREEN, OWN, RUST, TARNISH, UNJUDGED
from fastener.corrosion.comparison import MeasuredShot
from fastener.corrosion.surface_change import DARK, WHITE
from fastener.datasets.images import shrunk
from fastener.inspection.drawing import Picture, contact_sheet, heatmap_overlay
from fastener.inspection.pictures import overlay_picture, preview

CLASS_COLOURS = {
    RUST: (213, 94, 0),
    TARNISH: (240, 228, 66),
    GREEN: (0, 158, 115),
    WHITE: (86, 180, 233),
    DARK: (110, 40, 150),
    OWN: (225, 170, 195),
    UNJUDGED: (95, 95, 95),
}
DAMAGE = (RUST, TARNISH, GREEN, WHITE, DARK)
CLASS_TITLE = "white (blue), red (orange), dark (violet), tarnish, green; own colour (pink), not judged (grey)"
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
    assert view.heat is not None  # only drawn with a model
    photo = photo_picture(shot)
    side = photo.shape[1], photo.shape[0]
    heat = np.where(view.heat_mask, view.heat, 0.0).astype(np.float32)
    threshold = max(threshold, 1e-6)
    enlarged = np.asarray(cv2.resize(heat, side), np.float32)
    return heatmap_overlay(photo, enlarged, threshold / 2, 1.5 * threshold)


def mask_picture(shot: MeasuredShot) -> Picture:
    """Draw the classes as flat colours over the grey photo."""
    photo = photo_picture(shot)
    grey = cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    drawn = np.asarray(np.rint(110 + 0.55 * grey), np.uint8)
    classes = shot.classes
    for kind, colour in CLASS_COLOURS.items():
        drawn[classes == kind] = colour
    return drawn


def pictures(shot: MeasuredShot, threshold: float | None) -> list[Picture]:
    """Draw photo, heatmap and classes of a shot; without a model, ``threshold`` is None and there is no heatmap."""
    heat = [] if threshold is None else [heat_picture(shot, threshold)]
    return [photo_picture(shot), *heat, mask_picture(shot)]


def grid(result: ComponentResult, threshold: float | None, cell: int = _CELL) -> Picture:
    """Draw ``<component>_grid.png``: one row for each shot."""
    rows, captions = [], []
    for point in result.points:
        for shot in point.shots:
            rows.append(pictures(shot, threshold))
            captions.append(caption(point, shot))
    heat = [] if threshold is None else [f"heatmap, alarm at {threshold:.3g}"]
    return contact_sheet(rows, captions, ["photo, as measured", *heat, "white, red, dark, tarnish, green"], cell=cell)


def strip(point: TimePoint, threshold: float | None, side: int = 360) -> list[list[Picture]]:
    """Draw photo, heatmap and classes of each shot for the HTML report, with sides of at most ``side`` pixels."""
    return [[shrunk(one, side) for one in pictures(shot, threshold)] for shot in point.shots]


def overlays(result: ComponentResult, cell: int = 420) -> Picture:
    """Draw ``<component>_overlays.png``: the whole photos under their heatmaps, one row for each time point.

    Without a model, the photos are drawn alone.
    """
    rows, captions = [], []
    for point in result.points:
        inspections = [shot.view.inspection for shot in point.shots]
        rows.append(
            [
                _whole(shot) if found is None else overlay_picture(_whole(shot), found)
                for shot, found in zip(point.shots, inspections, strict=True)
            ]
        )
        known = [found for found in inspections if found is not None]
        scores = ", ".join(f"{found.score:.2f}" for found in known)
        captions.append(
            f"T{point.hours:g} h" + (f": score {scores} (threshold {known[0].threshold:.2f})" if known else "")
        )
    return contact_sheet(rows, captions, None, cell=cell)


def caption(point: TimePoint, shot: MeasuredShot) -> str:
    """Write the caption of a row: hours, number of the shot, figures, faults."""
    number = "" if shot.view.shot.number is None else f", shot {shot.view.shot.number}"
    growth = "" if shot.growth is None else f", growth {shot.growth:.1f} %"
    faults = f" [{', '.join(shot.flags)}]" if shot.flags else ""
    surface = shot.surface
    compared = f"white {surface.white:.1f} %, dark {surface.dark:.1f} %, " if surface else ""
    return f"T{point.hours:g} h{number}: {compared}rust {shot.colour.rust:.1f} %{growth}{faults}"


def _whole(shot: MeasuredShot) -> Picture:
    return preview(shot.view.shot.path, _PHOTO_SIDE)
