"""Tell what a surface has become since T0, pixel by pixel: white deposit, dark patches, or not to be judged."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from fastener.config import CorrosionSettings
from fastener.corrosion.colour_growth import OWN, UNJUDGED, Colour
from fastener.corrosion.photometry import luminance, match_exposure
from fastener.corrosion.registration import Registration
from fastener.corrosion.relief import Difference, compare_relief, lightness, relief

WHITE, DARK = 4, 5
# The comparison runs on copies of this side in pixels.
_SIDE = 384
# Light that both shots show at this share of their background's comes from the background, through a hole.
_BACKGROUND_SHARE = 0.6
# A part is dark if half of it sends less light than this share of the background's.
_DARK_PART = 0.3
# A patch this large, as a share of the part, has a border of thin deposit; the border of a smaller speck is blur.
_PATCH = 0.002
_BORDER = 0.6
# A pixel next to the outline mixes part and background: this share of the frame is left out.
_EDGE = 0.007
# Grey value from which all channels of a pixel are burnt out.
_BURNT = 250
# A shadow or a reflection fades, while a patch ends: its lightness falls by the limit within this share of the frame,
# along a quarter of its edge at least. The change is smoothed by the second share.
_EDGE_WIDTH, _EDGE_SMOOTHING, _EDGE_PART = 0.0145, 0.005, 0.25
# Crust has at least this many doublings of T0's contrast of detail.
_ROUGHER = 0.5
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
    hole = _hole(before, after, shown & second.mask, first.white, second.white)
    shown &= ~hole
    part = second.mask & second.seen & ~hole
    both = part & shown
    exposure = match_exposure(before, after, both)
    old, new = relief(exposure.of(before), shown), relief(after, part)
    difference = compare_relief(old, new)
    margin = 2 * max(1, round(_EDGE * max(size))) + 1
    inner = cv2.erode(both.astype(np.uint8), np.ones((margin, margin), np.uint8), borderValue=0) > 0
    burnt = (second.photo.min(axis=2) >= _BURNT) | (move.warp(first.photo, size).min(axis=2) >= _BURNT)
    judged = inner & ~burnt
    bare = judged & ~coloured[::step, ::step]
    steepness = _steepness(np.where(both, new.fine - old.fine, 0.0))
    usual = new.coarse - difference.lighter_around
    room = _lightness_of(second.white) - usual
    way = settings.min_cover * room
    rise = _Rise(difference, new.fine - usual, np.maximum(settings.min_lighter, way))
    # On bright metal the whole way to white is short. Less counts there in rough patches: a reflection is smooth.
    slight = replace(rise, limit=np.maximum(settings.min_lighter_rough, way))

    def areas(factor: float) -> tuple[np.ndarray, np.ndarray]:
        white = _white(rise, bare, factor)
        white |= _rough(_white(slight, bare, factor) & ~white, difference.rougher)
        return white, _dark(difference, steepness, bare & ~white, settings, factor)

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
        float(np.median(room[bare])) if bare.any() else 0.0,
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


def _hole(
    before: np.ndarray, after: np.ndarray, both: np.ndarray, white_before: np.ndarray, white_after: np.ndarray
) -> np.ndarray:
    """Find where both shots show the background, through a hole or beside the part: bool (h, w).

    Bright metal may be as light as the background. So only holes, which do not touch the outline, count there.
    """
    levels = _luminance_of(white_before), _luminance_of(white_after)
    bright = (before > _BACKGROUND_SHARE * levels[0]) & (after > _BACKGROUND_SHARE * levels[1])
    side = max(both.shape)
    opened = cv2.morphologyEx((bright & both).astype(np.uint8), cv2.MORPH_OPEN, _square(0.006 * side))
    if both.any() and np.median(before[both]) < _DARK_PART * levels[0]:
        return cv2.dilate(opened, _square(0.013 * side)) > 0
    inner = cv2.erode(both.astype(np.uint8), _square(0.01 * side), borderValue=0) > 0
    count, labels = cv2.connectedComponents(opened, connectivity=8)
    enclosed = np.ones(count, bool)
    enclosed[np.unique(labels[~inner])] = False
    enclosed[0] = False
    return cv2.dilate(enclosed[labels].astype(np.uint8), _square(0.013 * side)) > 0


def _luminance_of(white: np.ndarray) -> float:
    return float(luminance(np.rint(np.clip(white, 0, 255)).astype(np.uint8).reshape(1, 1, 3)).item())


def _lightness_of(white: np.ndarray) -> float:
    return float(lightness(np.array(_luminance_of(white))))


def _square(half: float) -> np.ndarray:
    side = 2 * max(1, round(half)) + 1
    return np.ones((side, side), np.uint8)


@dataclass(frozen=True)
class _Rise:
    """Hold how much lighter a shot is than T0, and by how much it must be at least, in L*: float32 (h, w) each."""

    difference: Difference
    around: np.ndarray
    limit: np.ndarray


def _white(rise: _Rise, bare: np.ndarray, factor: float) -> np.ndarray:
    """Find white deposit: patches and specks above the limit, and the thinner border of patches.

    On a dark base thin deposit shows clearly; on bright metal the whole way to white is short. So the limit is a share
    of that way, as for a layer of one opacity.
    """

    def above(share: float) -> np.ndarray:
        limit = rise.limit * (factor * share)
        wide = (rise.difference.lighter_around >= 0.8 * limit) & (rise.around >= 0.4 * limit)
        return np.asarray(((rise.difference.lighter >= limit) | wide) & bare)

    core = above(1.0)
    return np.asarray(core | _reached(_patches(core, int(bare.sum())), above(_BORDER)))


def _dark(
    difference: Difference, steepness: np.ndarray, bare: np.ndarray, settings: CorrosionSettings, factor: float
) -> np.ndarray:
    """Find dark patches with sharp edges. A shadow has soft ones, and specks are left to the shade."""
    limit = settings.min_darker * factor
    patches = _patches((difference.darker >= limit) & bare, int(bare.sum()))
    found = _reached(patches, (difference.darker >= _BORDER * limit) & bare)
    return _sharp(found, steepness, np.full(found.shape, settings.min_darker))


def _rough(found: np.ndarray, rougher: np.ndarray) -> np.ndarray:
    """Keep the connected places half of which is rougher than T0: crust is, and the reflection of a lamp is not."""
    count, labels = cv2.connectedComponents(found.astype(np.uint8), connectivity=8)
    total = np.bincount(labels.ravel(), minlength=count)
    rough = np.bincount(labels[found & (rougher >= _ROUGHER)], minlength=count)
    keep = rough * 2 >= total
    keep[0] = False
    return np.asarray(keep[labels])


def _sharp(found: np.ndarray, steepness: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Keep the connected places at a quarter of whose edge the lightness changes by ``limit`` within a short way."""
    kept = found.copy()
    count, labels = cv2.connectedComponents(found.astype(np.uint8), connectivity=8)
    edge = (cv2.dilate(found.astype(np.uint8), _square(2.0)) > 0) & (
        cv2.erode(found.astype(np.uint8), _square(1.0)) == 0
    )
    around = cv2.dilate(labels.astype(np.float32), _square(2.0))
    for label in range(1, count):
        here = edge & (around == label)
        slopes = steepness[here] / limit[here]
        if not slopes.size or np.quantile(slopes, 1.0 - _EDGE_PART) < 1.0 / _EDGE_WIDTH:
            kept &= labels != label
    return np.asarray(kept)


def _steepness(change: np.ndarray) -> np.ndarray:
    """Measure how fast a change of lightness varies, in L* per side of the frame: float32 (h, w)."""
    side = max(change.shape)
    smooth = cv2.GaussianBlur(change.astype(np.float32), (0, 0), _EDGE_SMOOTHING * side)
    slope = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)) / 8.0
    return np.asarray(slope * side)


def _patches(core: np.ndarray, part: int) -> np.ndarray:
    """Keep the connected places that cover at least the share ``_PATCH`` of the part."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(core.astype(np.uint8), connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] >= _PATCH * part
    large[0] = False
    return np.asarray(large[labels])


def _reached(seeds: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Keep the connected ``places`` that touch a seed."""
    count, labels = cv2.connectedComponents((places | seeds).astype(np.uint8), connectivity=8)
    keep = np.zeros(count, bool)
    keep[np.unique(labels[seeds])] = True
    keep[0] = False
    return np.asarray(keep[labels])
