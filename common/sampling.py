"""Which entries of a long list stand for all of them."""

from __future__ import annotations

import numpy as np


def evenly(count: int, at_most: int) -> np.ndarray:
    """Choose at most ``at_most`` indices below ``count``, evenly spaced: int64, first and last among them.

    Examples
    --------
    >>> evenly(10, 4)
    array([0, 3, 6, 9])
    >>> evenly(2, 4)
    array([0, 1])
    """
    chosen = min(count, at_most)
    # Whole numbers: floats would round some indices of long lists the wrong way.
    return np.arange(chosen, dtype=np.int64) * (count - 1) // max(1, chosen - 1)


def evenly_grouped(groups: np.ndarray, at_most: int) -> np.ndarray:
    """Numbers, sorted, of evenly spaced ``groups`` that hold about ``at_most`` of the n members; at least two.

    ``groups`` int64 (n,) has the number of each member's group.
    """
    names = np.unique(groups)
    return np.asarray(names[evenly(len(names), max(2, at_most * len(names) // len(groups)))])


def one_of_each_stretch(count: int, at_most: int, seed: int) -> np.ndarray:
    """Draw one index below ``count`` from each of ``at_most`` stretches of one length: int64, sorted.

    Unlike even steps, they keep no step with whatever repeats itself along the list, such as the rows of a grid.

    Examples
    --------
    >>> one_of_each_stretch(10, 5, seed=0)
    array([1, 3, 5, 6, 8])
    >>> one_of_each_stretch(3, 5, seed=0)
    array([0, 1, 2])
    """
    stretches = min(count, at_most)
    starts = np.arange(stretches + 1, dtype=np.int64) * count // max(1, stretches)
    return np.random.default_rng(seed).integers(starts[:-1], starts[1:])
