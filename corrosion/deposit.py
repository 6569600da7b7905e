"""Tell white deposit and dark patches from light, shade and errors of the registration."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fastener.config import CorrosionSettings
from fastener.corrosion.places import EDGE_WIDTH, edge_shares, labelled, means, patches, reached, square, steepness
from fastener.corrosion.relief import Difference, Relief, compare_relief

# Thin deposit at the border of a patch is as light as this share of the limit.
_BORDER = 0.6
# What ends is sharp along this share of its edge at least.
EDGE_PART = 0.25
# Rough has at least this many doublings of T0's contrast of detail. Deposit that hides T0's detail agrees with it no
# better than this.
ROUGHER, HIDDEN = 0.5, 0.65
# Contrast of detail, in L*, from which T0 shows some.
_DETAIL = 1.0
# On bright metal, clear deposit ends by this share of the limit within the width of an edge.
_END = 0.5


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
    old_edges, new_edges
        How fast the lightness of T0, and of the shot, varies, likewise; infinite at the outline, where any change of
        the light looks like an edge.
    likeness
        How well the detail of the two agrees, see ``photometry.likeness``: 0 to 1, float32 (h, w).
    """

    old: Relief
    new: Relief
    usual: Difference
    room: np.ndarray
    bare: np.ndarray
    contrast: np.ndarray
    old_edges: np.ndarray
    new_edges: np.ndarray
    likeness: np.ndarray

    @classmethod
    def between(cls, old: Relief, new: Relief, white: float, bare: np.ndarray, likeness: np.ndarray) -> Change:
        """Compare two reliefs; ``white`` is the lightness of a white surface in the shot, in L*."""
        usual = compare_relief(old, new)
        highest = new.coarse - usual.lighter_around
        both = old.mask & new.mask
        contrast = steepness(np.where(both, new.fine - old.fine, 0.0))
        inner = cv2.erode(both.astype(np.uint8), square(EDGE_WIDTH * max(both.shape)), borderValue=0) > 0
        edges = [np.where(inner, steepness(np.where(one.mask, one.fine, 0.0)), np.inf) for one in (old, new)]
        return cls(old, new, usual, white - highest, bare, contrast, edges[0], edges[1], likeness)


def is_bright(change: Change, settings: CorrosionSettings) -> np.ndarray:
    """Tell where the metal is so light that a share of the way to white is less than a clear rise: bool (h, w)."""
    return np.asarray(settings.min_cover * change.room < settings.min_lighter)


def clear_deposit(change: Change, settings: CorrosionSettings, factor: float) -> np.ndarray:
    """Find clear white deposit, bool (h, w): patches and specks above the limit, and the thinner border of patches.

    On a dark base thin deposit shows clearly; on bright metal the whole way to white is short. So the limit is a share
    of that way, as for a layer of one opacity. A lamp lightens bright metal as much: there, patches are deposit only if
    they hide T0's detail, and, where T0 shows none, if they are rough or end sharply. ``factor`` scales the limits.
    """
    limit = np.maximum(settings.min_lighter, settings.min_cover * change.room) * factor
    around = change.new.fine - (change.new.coarse - change.usual.lighter_around)

    def above(share: float) -> np.ndarray:
        wide = (change.usual.lighter_around >= 0.8 * share * limit) & (around >= 0.4 * share * limit)
        return np.asarray(((change.usual.lighter >= share * limit) | wide) & change.bare)

    core = above(1.0)
    found = core | reached(patches(core, int(change.bare.sum())), above(_BORDER))
    _, labels = labelled(found)
    crusty = is_crusty(labels, change, change.usual, _END * settings.min_lighter * factor)
    # Where T0 shows no detail, none can be hidden.
    hiding = (means(change.likeness, labels) <= HIDDEN) & (crusty | (means(change.old.rough, labels) >= _DETAIL))
    keep = hiding | (means(is_bright(change, settings), labels) < 0.5)
    keep[0] = False
    return np.asarray(keep[labels])


def is_crusty(
    labels: np.ndarray,
    change: Change,
    difference: Difference,
    rise: float,
    *,
    sharp: float = EDGE_PART,
    reverse: bool = False,
) -> np.ndarray:
    """Tell for each label whether its places are rough, or end where nothing ended at T0: bool (n,).

    The light of a lamp is smooth, and ends where the part's faces end.

    Parameters
    ----------
    labels
        Numbered places, 0 for the rest: int32 (h, w).
    change, difference
        How the shot differs from T0.
    rise
        What is steeper than this, in L* within the width of an edge, ends.
    sharp
        What ends along this share of its edge is deposit.
    reverse
        Whether T0 and the shot change places.
    """
    rougher = -difference.rougher if reverse else difference.rougher
    edges = change.new_edges if reverse else change.old_edges
    ends = (change.contrast >= rise / EDGE_WIDTH) & (edges < rise / EDGE_WIDTH)
    edged = edge_shares(labels, int(labels.max()) + 1, ends) >= sharp
    return np.asarray((means(rougher >= ROUGHER, labels) >= 0.5) | edged)


def dark_patches(change: Change, sound: np.ndarray, settings: CorrosionSettings, factor: float) -> np.ndarray:
    """Find dark patches with sharp edges in ``sound``, bool (h, w). A shadow has soft edges, and specks are shade."""
    limit, darker = settings.min_darker * factor, change.usual.darker
    seeds = patches((darker >= limit) & sound, int(sound.sum()))
    found = reached(seeds, (darker >= _BORDER * limit) & sound)
    count, labels = labelled(found)
    keep = edge_shares(labels, count, change.contrast >= settings.min_darker / EDGE_WIDTH) >= EDGE_PART
    keep[0] = False
    return np.asarray(keep[labels])
