"""Tell white deposit and dark patches from light, shade and errors of the registration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastener.config import CorrosionSettings
from fastener.corrosion.places import EDGE_WIDTH, edge_shares, labelled, patches, reached, steepness
from fastener.corrosion.relief import Difference, Relief, compare_relief

# Thin deposit at the border of a patch is as light as this share of the limit.
_BORDER = 0.6
# What ends is sharp along this share of its edge at least.
_EDGE_PART = 0.25


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
    likeness
        How well the detail of the two agrees, see ``photometry.likeness``: 0 to 1, float32 (h, w).
    """

    old: Relief
    new: Relief
    usual: Difference
    room: np.ndarray
    bare: np.ndarray
    contrast: np.ndarray
    likeness: np.ndarray

    @classmethod
    def between(cls, old: Relief, new: Relief, white: float, bare: np.ndarray, likeness: np.ndarray) -> Change:
        """Compare two reliefs; ``white`` is the lightness of a white surface in the shot, in L*."""
        usual = compare_relief(old, new)
        highest = new.coarse - usual.lighter_around
        contrast = steepness(np.where(old.mask & new.mask, new.fine - old.fine, 0.0))
        return cls(old, new, usual, white - highest, bare, contrast, likeness)


def clear_deposit(change: Change, settings: CorrosionSettings, factor: float) -> np.ndarray:
    """Find clear white deposit, bool (h, w): patches and specks above the limit, and the thinner border of patches.

    On a dark base thin deposit shows clearly; on bright metal the whole way to white is short. So the limit is a share
    of that way, as for a layer of one opacity. ``factor`` scales the limits.
    """
    limit = np.maximum(settings.min_lighter, settings.min_cover * change.room) * factor
    around = change.new.fine - (change.new.coarse - change.usual.lighter_around)

    def above(share: float) -> np.ndarray:
        wide = (change.usual.lighter_around >= 0.8 * share * limit) & (around >= 0.4 * share * limit)
        return np.asarray(((change.usual.lighter >= share * limit) | wide) & change.bare)

    core = above(1.0)
    return np.asarray(core | reached(patches(core, int(change.bare.sum())), above(_BORDER)))


def dark_patches(change: Change, sound: np.ndarray, settings: CorrosionSettings, factor: float) -> np.ndarray:
    """Find dark patches with sharp edges in ``sound``, bool (h, w). A shadow has soft edges, and specks are shade."""
    limit, darker = settings.min_darker * factor, change.usual.darker
    seeds = patches((darker >= limit) & sound, int(sound.sum()))
    found = reached(seeds, (darker >= _BORDER * limit) & sound)
    count, labels = labelled(found)
    keep = edge_shares(labels, count, change.contrast >= settings.min_darker / EDGE_WIDTH) >= _EDGE_PART
    keep[0] = False
    return np.asarray(keep[labels])
