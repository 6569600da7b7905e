"""Find deposit on bright metal, which is hardly lighter than it: rough, ending where nothing ended, hiding detail."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from fastener.config import CorrosionSettings
from fastener.corrosion.deposit import EDGE_PART, HIDDEN, ROUGHER, Change, dark_patches, is_bright, is_crusty
from fastener.corrosion.kept_detail import kept_detail, lost_detail, veiled_relief
from fastener.corrosion.places import EDGE_WIDTH, closed, labelled, means, patches, square
from fastener.corrosion.relief import Difference, compare_relief

# Each patch of rough crust has somewhere this many doublings of T0's contrast of detail.
_ROUGHEST = 1.0
# Contrast is that of a neighbourhood. What belongs to the patch has changed its own lightness by this share of what is
# usual in the patch, and by the patch's mean.
_CHANGED = 0.25
# T0's contrast counts within this share of the usual distance.
_ROUGH_REACH = 0.5
# Shares of the usual distance within which T0's values count when slight deposit is looked for, the finest first. The
# first holds at which no more than this share of the found places, and this share of the part, would be deposit if T0
# and the shot changed places: errors of light and registration go both ways.
_REACHES = (0.25, 0.5, 1.0)
_FALSE, _FEW = 0.15, 0.005
# Slight changes count from several levels up, so that a patch on a face that the lamp lights more is seen by itself.
_LEVELS = (1.0, 1.5, 2.25)
# A moved highlight leaves a darker place that is sharp on two sides; darker deposit is sharp along this share of its
# edge.
_ALL_ROUND = 0.5
# A patch is broad from this share of the frame; T0's detail is still seen from this likeness.
_BROAD, _SEEN = 0.005, 0.8


@dataclass(frozen=True)
class Ground:
    """Say where on bright metal deposit is looked for, and how; None where errors would be taken for it.

    Parameters
    ----------
    where
        Where it is looked for, bool (h, w).
    rough
        How the shot differs from T0, for rough crust.
    slight
        The same for slight changes.
    """

    where: np.ndarray
    rough: Difference | None
    slight: Difference | None = None


def look_at_bright_metal(
    change: Change, left_out: np.ndarray, settings: CorrosionSettings, *, flattened: bool
) -> Ground | None:
    """Choose how deposit on bright metal is looked for; None on dark parts, where it shows clearly.

    Parameters
    ----------
    change
        How the shot differs from T0.
    left_out
        What is coloured or burnt out, bool (h, w): another exposure changes it and its border otherwise.
    settings
        Least rise of the lightness.
    flattened
        Whether the background is burnt out: then the camera flattens what is nearly as light, and only lost detail
        tells.
    """
    bright = is_bright(change, settings)
    if not change.bare.any() or 2 * bright[change.bare].sum() < change.bare.sum():
        return None
    # Dark patches and their edges are rough and end sharply, too.
    dark = dark_patches(change, change.bare, settings, 1.0)
    where = change.bare & bright & ~_beside(left_out | dark)
    if flattened:
        return Ground(where, rough=None)
    rough = compare_relief(change.old, change.new, reach=_ROUGH_REACH)
    ground = Ground(where, rough)
    crust, decoy = (_crust(change, ground, one, settings, 1.0) for one in (rough.rougher_around, rough.smoother_around))
    if not _stands_out(crust, decoy, change.bare):
        ground, crust = replace(ground, rough=None), np.zeros_like(crust)
    for reach in _REACHES:
        difference = compare_relief(change.old, change.new, reach=reach)
        ended, decoy = (_slight(change, ground, difference, settings, 1.0, reverse=one) for one in (False, True))
        found = crust | ended
        # Deposit that hides T0's edges is both.
        if _stands_out(found, decoy & ~found, change.bare):
            return replace(ground, slight=difference)
    return ground


def deposit_on_bright_metal(
    change: Change, ground: Ground, clear: np.ndarray, settings: CorrosionSettings, factor: float
) -> np.ndarray:
    """Find rough crust, slight deposit, and deposit that hides T0's detail beside ``clear`` deposit: bool (h, w) each.

    ``factor`` scales the limits.
    """
    found = np.zeros(ground.where.shape, bool)
    if ground.slight is not None:
        found |= _slight(change, ground, ground.slight, settings, factor)
    if ground.rough is not None:
        found |= _crust(change, ground, ground.rough.rougher_around, settings, factor)
    found = clear | (closed(found) & ground.where)
    return np.asarray(found | (closed(found | _hiding(change, ground, found, factor)) & ground.where))


def _stands_out(found: np.ndarray, decoy: np.ndarray, part: np.ndarray) -> bool:
    return bool(decoy.sum() <= _FALSE * found.sum() + _FEW * part.sum())


def _beside(places: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.dilate(places.astype(np.uint8), square(EDGE_WIDTH * max(places.shape))) > 0)


def _crust(
    change: Change, ground: Ground, doublings: np.ndarray, settings: CorrosionSettings, factor: float
) -> np.ndarray:
    """Find patches that are rougher than all that T0 shows nearby, and hide T0's detail.

    Deposit of the metal's own lightness casts shadows and catches light in its own relief. ``doublings`` are the shot's
    contrast over T0's, or the reverse.
    """
    where = ground.where & np.isfinite(change.old_edges)
    part = int(change.bare.sum())
    _, labels = labelled(patches((doublings >= ROUGHER * factor) & where, part))
    roughest = np.full(int(labels.max()) + 1, -np.inf)
    np.maximum.at(roughest, labels.ravel(), doublings.ravel())
    keep = (roughest >= _ROUGHEST * factor) & (means(change.likeness, labels) <= HIDDEN)
    keep[0] = False
    shift = change.new.fine - change.old.fine
    least = np.maximum(_CHANGED * np.sqrt(means(shift**2, labels)), np.abs(means(shift, labels)))
    crust = keep[labels]
    changed = crust & (np.abs(shift) >= least[labels])
    return np.asarray(closed(changed) & crust)


def _slight(
    change: Change,
    ground: Ground,
    difference: Difference,
    settings: CorrosionSettings,
    factor: float,
    *,
    reverse: bool = False,
) -> np.ndarray:
    """Find places that have become a little lighter or darker, and are rough, or end where nothing ended at T0.

    Matt deposit is lighter than metal in the shade, and darker than metal in which the lamp is mirrored.
    """
    limit = settings.min_lighter_rough * factor
    found = np.zeros(ground.where.shape, bool)
    for amount, sharp in ((difference.lighter, EDGE_PART), (difference.darker, _ALL_ROUND)):
        # At the edge of lighter places, whatever lies beside them seems to end.
        free = ground.where & ~_beside(found)
        for level in _LEVELS:
            _, labels = labelled((amount >= level * limit) & free & ~found)
            keep = is_crusty(labels, change, difference, level * limit, sharp=sharp, reverse=reverse)
            # A broad patch under which T0's detail is still seen is light; the detail around a small one outweighs it.
            broad = np.bincount(labels.ravel()) >= _BROAD * labels.size
            keep &= ~(broad & (means(change.likeness, labels) > _SEEN))
            keep[0] = False
            found |= keep[labels]
    return found


def _hiding(change: Change, ground: Ground, found: np.ndarray, factor: float) -> np.ndarray:
    """Find patches beside the ``found`` deposit, bool (h, w), in which T0's detail is gone, or its relief veiled.

    Deposit as light and as smooth as the metal differs from it in nothing else. The found places would spoil the
    agreement beside them, and are left out.
    """
    left = change.old.mask & change.new.mask & ~change.new.burnt
    left &= cv2.dilate(found.astype(np.uint8), square(1.0)) == 0
    known = ground.where & left & ~change.old.burnt & np.isfinite(change.old_edges)
    agreement, expected = kept_detail(change.old.fine, change.new.fine, left, known)
    lost = lost_detail(agreement, expected, known, factor) | veiled_relief(agreement, expected, known, factor)
    return patches(lost, int(change.bare.sum()))
