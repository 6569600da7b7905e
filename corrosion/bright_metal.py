"""Find deposit on bright metal, which is hardly lighter than the metal: it is rough, or ends where nothing ended."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from fastener.config import CorrosionSettings
from fastener.corrosion.deposit import Change, clear_deposit, dark_patches
from fastener.corrosion.places import EDGE_WIDTH, edge_shares, labelled, patches, square, steepness
from fastener.corrosion.relief import Difference, compare_relief

# What ends is sharp along this share of its edge at least.
_EDGE_PART = 0.25
# Crust has at least this many doublings of T0's contrast of detail, and each patch of it somewhere the second number.
_ROUGHER, _ROUGHEST = 0.5, 1.0
# Contrast is that of a neighbourhood. What belongs to the patch has changed its own lightness by this share of what is
# usual in the patch, and by the patch's mean.
_CHANGED = 0.25
# T0's contrast counts within this share of the usual distance. Crust hides T0's detail: it agrees no better than this.
_ROUGH_REACH, _HIDDEN = 0.5, 0.75
# Shares of the usual distance within which T0's values count when slight deposit is looked for, the finest first. The
# first holds at which no more than this share of the found places, and this share of the part, would be deposit if T0
# and the shot changed places: errors of light and registration go both ways.
_REACHES = (0.25, 0.5, 1.0)
_FALSE, _FEW = 0.15, 0.005
# Slight rises count from several levels up, so that a patch on a face that the lamp lights more is seen by itself.
_LEVELS = (1.0, 1.5, 2.25)
# Slight deposit goes this share of the usual way to white; gaps within it that are narrower than this share of the
# frame belong to it.
_SLIGHT_COVER, _GAP = 0.25, 0.007


@dataclass(frozen=True)
class Ground:
    """Say where on bright metal deposit is looked for, and how; None where errors would be taken for it.

    Parameters
    ----------
    where
        Where it is looked for, bool (h, w).
    edges
        How fast T0's lightness varies, in L* per side of the frame, float32 (h, w); infinite at the outline.
    rough
        How the shot differs from T0, for rough crust.
    slight
        The same for slight rises.
    """

    where: np.ndarray
    edges: np.ndarray
    rough: Difference | None
    slight: Difference | None = None


def look_at_bright_metal(change: Change, left_out: np.ndarray, settings: CorrosionSettings) -> Ground | None:
    """Choose how deposit on bright metal is looked for; None on dark parts, where it shows clearly.

    ``left_out``, bool (h, w), is coloured or burnt out: another exposure changes it and its border otherwise.
    """
    way = settings.min_cover * change.room
    if not change.bare.any() or np.median(way[change.bare]) >= settings.min_lighter:
        return None
    side = max(change.bare.shape)
    # At the outline itself, any change of the light looks like an edge.
    both = (change.old.mask & change.new.mask).astype(np.uint8)
    inner = cv2.erode(both, square(EDGE_WIDTH * side), borderValue=0) > 0
    edges = np.where(inner, steepness(np.where(change.old.mask, change.old.fine, 0.0)), np.inf)
    where = change.bare & (way < settings.min_lighter) & ~_beside(left_out)
    rough = compare_relief(change.old, change.new, reach=_ROUGH_REACH)
    ground = Ground(where, edges, rough)
    crust, decoy = (_crust(change, ground, one, settings, 1.0) for one in (rough.rougher_around, rough.smoother_around))
    if not _stands_out(crust, decoy, change.bare):
        ground, crust = replace(ground, rough=None), np.zeros_like(crust)
    # Within crust, dark and light lie side by side.
    elsewhere = replace(ground, where=where & ~_beside(crust))
    clear = clear_deposit(change, settings, 1.0)
    for reach in _REACHES:
        difference = compare_relief(change.old, change.new, reach=reach)
        found = replace(elsewhere, slight=difference)
        lighter, darker = (
            _slight(change, found, one, settings, 1.0) for one in (difference.lighter, difference.darker)
        )
        if _stands_out(clear | crust | lighter, darker, change.bare):
            return replace(found, where=where)
    return ground


def deposit_on_bright_metal(change: Change, ground: Ground, settings: CorrosionSettings, factor: float) -> np.ndarray:
    """Find rough crust and slight deposit, bool (h, w). ``factor`` scales the limits."""
    found = np.zeros(ground.where.shape, bool)
    if ground.slight is not None:
        found |= _slight(change, ground, ground.slight.lighter, settings, factor)
    if ground.rough is not None:
        found |= _crust(change, ground, ground.rough.rougher_around, settings, factor)
    closed = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_CLOSE, square(_GAP * max(found.shape))) > 0
    return np.asarray(closed & ground.where)


def _stands_out(found: np.ndarray, decoy: np.ndarray, part: np.ndarray) -> bool:
    return bool(decoy.sum() <= _FALSE * found.sum() + _FEW * part.sum())


def _beside(places: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.dilate(places.astype(np.uint8), square(EDGE_WIDTH * max(places.shape))) > 0)


def _crust(
    change: Change, ground: Ground, doublings: np.ndarray, settings: CorrosionSettings, factor: float
) -> np.ndarray:
    """Find patches that are rougher than all that T0 shows nearby, and hide T0's detail.

    Deposit of the metal's own lightness casts shadows and catches light in its own relief. The edge of a dark patch is
    rough, too. ``doublings`` are the shot's contrast over T0's, or the reverse.
    """
    dark = _beside(dark_patches(change, change.bare, settings, factor))
    where = ground.where & np.isfinite(ground.edges) & ~dark
    part = int(change.bare.sum())
    _, labels = labelled(patches((doublings >= _ROUGHER * factor) & where, part))
    roughest = np.full(int(labels.max()) + 1, -np.inf)
    np.maximum.at(roughest, labels.ravel(), doublings.ravel())
    keep = (roughest >= _ROUGHEST * factor) & (_means(change.likeness, labels) <= _HIDDEN)
    keep[0] = False
    shift = change.new.fine - change.old.fine
    least = np.maximum(_CHANGED * np.sqrt(_means(shift**2, labels)), np.abs(_means(shift, labels)))
    crust = keep[labels]
    changed = (crust & (np.abs(shift) >= least[labels])).astype(np.uint8)
    closed = cv2.morphologyEx(changed, cv2.MORPH_CLOSE, square(_GAP * max(changed.shape))) > 0
    return np.asarray(closed & crust)


def _means(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Average ``image`` over each label's places: float64 (n,)."""
    total = np.bincount(labels.ravel())
    return np.asarray(np.bincount(labels.ravel(), image.ravel()) / np.maximum(total, 1))


def _slight(change: Change, ground: Ground, rise: np.ndarray, settings: CorrosionSettings, factor: float) -> np.ndarray:
    """Find places that rise a little and are crust: rough, or ending where nothing ended at T0.

    The light of a lamp is smooth, and ends where the part's faces end. ``rise`` is a lightness or its opposite, in L*.
    """
    assert ground.slight is not None  # only asked for where it is
    least = settings.min_lighter_rough
    limit = np.maximum(least, _SLIGHT_COVER * settings.min_cover * change.room) * factor
    found = np.zeros(rise.shape, bool)
    for level in _LEVELS:
        count, labels = labelled((rise >= level * limit) & ground.where & ~found)
        total = np.bincount(labels.ravel(), minlength=count)
        rough = np.bincount(labels[ground.slight.rougher >= _ROUGHER], minlength=count)
        slope = level * least * factor / EDGE_WIDTH
        ends = (change.contrast >= slope) & (ground.edges < slope)
        keep = (rough * 2 >= total) | (edge_shares(labels, count, ends) >= _EDGE_PART)
        keep[0] = False
        found |= keep[labels]
    return found
