"""Tell what a surface has become since T0, pixel by pixel: white deposit, dark patches, or not to be judged."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fastener.config import CorrosionSettings
from fastener.corrosion.bright_metal import deposit_on_bright_metal, look_at_bright_metal
from fastener.corrosion.colour_growth import Colour
from fastener.corrosion.colour_sectors import OWN, UNJUDGED
from fastener.corrosion.deposit import Change, clear_deposit, dark_patches
from fastener.corrosion.holes import lightness_of, shared_holes
from fastener.corrosion.light import BURNT_OUT, burnt_out, is_cut_off
from fastener.corrosion.photometry import likeness, luminance, match_exposure
from fastener.corrosion.registration import Registration
from fastener.corrosion.relief import relief

WHITE, DARK = 4, 5
# The comparison runs on copies of this side in pixels.
_SIDE = 384
# A pixel next to the outline mixes part and background: this share of the frame is left out.
_EDGE = 0.007
# Relative standard deviation of the limits, for the uncertainty of the areas.
_LIMIT_ERROR = 0.1


@dataclass(frozen=True)
class Scene:
    """Hold what is compared of one shot, on the frame's own grid.

    Parameters
    ----------
    photo
        The unprocessed photo in the canonical frame, uint8 RGB (h, w, 3).
    mask
        The part, bool (h, w).
    seen
        Where the photo reaches, bool (h, w).
    white
        Colour of the background or of a white surface, RGB 0 to 255, (3,).
    """

    photo: np.ndarray
    mask: np.ndarray
    seen: np.ndarray
    white: np.ndarray


@dataclass(frozen=True)
class SurfaceChange:
    """Hold what a shot's surface has become since T0.

    Parameters
    ----------
    classes
        ``WHITE``, ``DARK``, ``UNJUDGED`` or 0 for each pixel of the frame, uint8 (h, w); 0 outside the part.
    white, dark
        Share of the judged part in percent.
    deviations
        Standard deviations of ``white`` and ``dark`` in percentage points, from the uncertain limits.
    judged
        Share of the part in percent that could be judged.
    room
        How much lighter than T0's surface a white deposit can be at most, in L*: the median over the part.
    """

    classes: np.ndarray
    white: float
    dark: float
    deviations: tuple[float, float]
    judged: float
    room: float


def surface_change(
    baseline: Scene, later: Scene, registration: Registration, coloured: np.ndarray, settings: CorrosionSettings
) -> SurfaceChange:
    """Compare a shot with T0 place by place.

    T0 is laid over the shot and shown in its light. A place counts as white if it is lighter than everything that T0
    shows nearby, and has no colour; as dark if it is darker and lies in a patch with sharp edges.

    Parameters
    ----------
    baseline, later
        T0 and the later shot, in frames of one size.
    registration
        How T0 lies over the later shot.
    coloured
        Places of the later shot that are rust-coloured, tarnished, green, or of the part's own colour: bool (h, w).
    settings
        Least rise and fall of the lightness.
    """
    step = max(1, round(max(later.mask.shape) / _SIDE))
    first, second = _small(baseline, step), _small(later, step)
    move = registration.coarse(step)
    size = (second.mask.shape[0], second.mask.shape[1])
    before, after = move.warp(luminance(first.photo), size), luminance(second.photo)
    shown = move.warp((first.mask & first.seen).astype(np.float32), size) > 0.5
    hole = shared_holes(before, after, shown & second.mask, first.white, second.white)
    shown &= ~hole
    part = second.mask & second.seen & ~hole
    both = part & shown
    first_photo = move.warp(first.photo, size)
    # A place that burns out in any channel tells nothing of the light: it stays as it is when the light rises.
    clipped = (second.photo.max(axis=2) >= BURNT_OUT) | (first_photo.max(axis=2) >= BURNT_OUT)
    exposure = match_exposure(before, after, both, clipped)
    burnt = burnt_out(second.photo, second.white)
    old = relief(exposure.of(before), shown, burnt_out(first_photo, first.white))
    new = relief(after, part, burnt)
    margin = 2 * max(1, round(_EDGE * max(size))) + 1
    inner = cv2.erode(both.astype(np.uint8), np.ones((margin, margin), np.uint8), borderValue=0) > 0
    judged = inner & ~burnt & (exposure.agreement > 0.0)
    bare = judged & ~coloured[::step, ::step]
    change = Change.between(old, new, lightness_of(second.white), bare, likeness(before, after, both))
    left_out = burnt | coloured[::step, ::step]
    bright = look_at_bright_metal(change, left_out, settings, flattened=is_cut_off(second.white, second.photo))

    def areas(factor: float) -> tuple[np.ndarray, np.ndarray]:
        white = clear_deposit(change, settings, factor)
        if bright is not None:
            white = deposit_on_bright_metal(change, bright, white, settings, factor)
        return white, dark_patches(change, bare & ~white, settings, factor)

    white, dark = areas(1.0)
    total = max(int(judged.sum()), 1)
    ends = [[100.0 * float(one.sum()) / total for one in areas(1.0 + sign * _LIMIT_ERROR)] for sign in (-1, 1)]
    classes = np.zeros(size, np.uint8)
    classes[part & ~judged] = UNJUDGED
    classes[white], classes[dark] = WHITE, DARK
    frame = later.mask.shape
    enlarged = cv2.resize(classes, (frame[1], frame[0]), interpolation=cv2.INTER_NEAREST)
    return SurfaceChange(
        np.where(later.mask, enlarged, 0).astype(np.uint8),
        100.0 * float(white.sum()) / total,
        100.0 * float(dark.sum()) / total,
        (abs(ends[0][0] - ends[1][0]) / 2.0, abs(ends[0][1] - ends[1][1]) / 2.0),
        100.0 * float(judged.sum()) / max(int(part.sum()), 1),
        float(np.median(change.room[bare])) if bare.any() else 0.0,
    )


def all_classes(colour: Colour, change: SurfaceChange | None) -> np.ndarray:
    """Join the classes of colour and of change in one map, uint8 (h, w)."""
    classes = np.where(colour.own_places, OWN, colour.classes).astype(np.uint8)
    if change is None:
        return classes
    return np.where(classes == 0, change.classes, classes).astype(np.uint8)


def _small(scene: Scene, step: int) -> Scene:
    if step == 1:
        return scene
    size = (-(-scene.mask.shape[1] // step), -(-scene.mask.shape[0] // step))
    photo = cv2.resize(scene.photo, size, interpolation=cv2.INTER_AREA)
    return Scene(photo, scene.mask[::step, ::step], scene.seen[::step, ::step], scene.white)
