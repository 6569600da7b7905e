"""Tell white deposit and dark patches from light, shade and errors of the registration."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fastener.config import CorrosionSettings
from fastener.corrosion.places import EDGE_WIDTH, edge_shares, labelled, patches, reached, square, steepness
from fastener.corrosion.relief import Difference, Relief, compare_relief

# Thin deposit at the border of a patch is as light as this share of the limit.
_BORDER = 0.6
# What ends is sharp along this share of its edge at least.
_EDGE_PART = 0.25
# Crust has at least this many doublings of T0's contrast of detail.
_ROUGHER = 0.5
# Ways to look for slight deposit, the finest first: within which share of the usual distance T0's values count, and
# which share of the least rise. The first holds at which no more than this share of the found places, and this share of
# the part, would be deposit if dark and light changed places: errors of light and registration go both ways.
_WAYS = ((0.25, 0.5), (0.25, 1.0), (0.5, 1.0), (1.0, 1.0))
_FALSE, _FEW = 0.15, 0.005
# Slight rises count from several levels up, so that a patch on a face that the lamp lights more is seen by itself.
_LEVELS = (1.0, 1.5, 2.25)
# Slight deposit goes this share of the usual way to white; gaps within it that are narrower than this share of the
# frame belong to it.
_SLIGHT_COVER, _GAP = 0.25, 0.007


@dataclass(frozen=True)
class Change:
    """Hold a shot and T0, in the light of that shot, side by side.

    Parameters
    ----------
    old, new
        Reliefs of T0 and of the shot, in one frame.
    usual
        How the shot differs from T0, within the usual reach.
    room
        How much lighter a white surface is than T0's surface there, in L*: float32 (h, w).
    bare
        The judged places without colour, bool (h, w).
    contrast
        How fast the change of lightness varies, in L* per side of the frame: float32 (h, w).
    """

    old: Relief
    new: Relief
    usual: Difference
    room: np.ndarray
    bare: np.ndarray
    contrast: np.ndarray

    @classmethod
    def between(cls, old: Relief, new: Relief, white: float, bare: np.ndarray) -> Change:
        """Compare two reliefs; ``white`` is the lightness of a white surface in the shot, in L*."""
        usual = compare_relief(old, new)
        highest = new.coarse - usual.lighter_around
        contrast = steepness(np.where(old.mask & new.mask, new.fine - old.fine, 0.0))
        return cls(old, new, usual, white - highest, bare, contrast)


@dataclass(frozen=True)
class Slight:
    """Say where and how slight deposit is looked for.

    Parameters
    ----------
    difference
        How the shot differs from T0 within the reach that was chosen.
    least
        Least rise in L*.
    where
        Where slight rises count, bool (h, w).
    edges
        How fast T0's lightness varies, in L* per side of the frame, float32 (h, w); infinite at the outline.
    """

    difference: Difference
    least: float
    where: np.ndarray
    edges: np.ndarray


def white_deposit(change: Change, slight: Slight | None, settings: CorrosionSettings, factor: float) -> np.ndarray:
    """Find white deposit, bool (h, w): patches and specks above the limit, and the thinner border of patches.

    On a dark base thin deposit shows clearly; on bright metal the whole way to white is short. So the limit is a share
    of that way, as for a layer of one opacity. ``factor`` scales the limits.
    """
    limit = np.maximum(settings.min_lighter, settings.min_cover * change.room) * factor
    around = change.new.fine - (change.new.coarse - change.usual.lighter_around)

    def above(share: float) -> np.ndarray:
        wide = (change.usual.lighter_around >= 0.8 * share * limit) & (around >= 0.4 * share * limit)
        return np.asarray(((change.usual.lighter >= share * limit) | wide) & change.bare)

    core = above(1.0)
    white = core | reached(patches(core, int(change.bare.sum())), above(_BORDER))
    if slight is not None:
        white |= _slight(change, slight, slight.difference.lighter, settings, factor)
    return np.asarray(white)


def look_for_slight(change: Change, coloured: np.ndarray, settings: CorrosionSettings) -> Slight | None:
    """Choose how slight deposit is looked for on bright metal.

    None on dark parts, where deposit shows clearly, and in shots whose light differs so much that it cannot be told.

    ``coloured`` are the coloured places, bool (h, w). Another exposure changes them and their borders otherwise.
    """
    way = settings.min_cover * change.room
    if not change.bare.any() or np.median(way[change.bare]) >= settings.min_lighter:
        return None
    side = max(change.bare.shape)
    beside = cv2.dilate(coloured.astype(np.uint8), square(EDGE_WIDTH * side)) > 0
    where = change.bare & (way < settings.min_lighter) & ~beside
    # At the outline itself, any change of the light looks like an edge.
    both = (change.old.mask & change.new.mask).astype(np.uint8)
    inner = cv2.erode(both, square(EDGE_WIDTH * side), borderValue=0) > 0
    edges = np.where(inner, steepness(np.where(change.old.mask, change.old.fine, 0.0)), np.inf)
    for reach, share in _WAYS:
        difference = compare_relief(change.old, change.new, reach=reach)
        least = share * settings.min_lighter_rough
        found = Slight(difference, least, where, edges)
        white = white_deposit(change, found, settings, 1.0).sum()
        decoy = _slight(change, found, difference.darker, settings, 1.0).sum()
        if decoy <= _FALSE * white + _FEW * change.bare.sum():
            return found
    return None


def dark_patches(change: Change, sound: np.ndarray, settings: CorrosionSettings, factor: float) -> np.ndarray:
    """Find dark patches with sharp edges in ``sound``, bool (h, w). A shadow has soft edges, and specks are shade."""
    limit, darker = settings.min_darker * factor, change.usual.darker
    seeds = patches((darker >= limit) & sound, int(sound.sum()))
    found = reached(seeds, (darker >= _BORDER * limit) & sound)
    count, labels = labelled(found)
    keep = edge_shares(labels, count, change.contrast >= settings.min_darker / EDGE_WIDTH) >= _EDGE_PART
    keep[0] = False
    return np.asarray(keep[labels])


def _slight(change: Change, how: Slight, rise: np.ndarray, settings: CorrosionSettings, factor: float) -> np.ndarray:
    """Find places that rise a little and are crust: rough, or ending where nothing ended at T0.

    The light of a lamp is smooth, and ends where the part's faces end. ``rise`` is a lightness or its opposite, in L*.
    """
    limit = np.maximum(how.least, _SLIGHT_COVER * settings.min_cover * change.room) * factor
    found = np.zeros(rise.shape, bool)
    for level in _LEVELS:
        count, labels = labelled((rise >= level * limit) & how.where & ~found)
        total = np.bincount(labels.ravel(), minlength=count)
        rough = np.bincount(labels[how.difference.rougher >= _ROUGHER], minlength=count)
        slope = level * how.least * factor / EDGE_WIDTH
        ends = (change.contrast >= slope) & (how.edges < slope)
        keep = (rough * 2 >= total) | (edge_shares(labels, count, ends) >= _EDGE_PART)
        keep[0] = False
        found |= keep[labels]
    closed = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_CLOSE, square(_GAP * max(found.shape))) > 0
    return np.asarray(closed & how.where)
