"""Share out images to training, calibration and test by a seed; copies of a photo stay together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastener.common.errors import UserError
from fastener.open_set.settings import DataSettings, SplitSettings

TRAIN, VALIDATION, TEST, UNKNOWN, UNUSED = "train", "validation", "test", "unknown", ""


@dataclass(frozen=True)
class OpenSetSplit:
    """Hold the class and the role of each of n images.

    Parameters
    ----------
    known
        Names of the known classes.
    truth
        Index of each image's class in ``known``, int64 (n,); -1 for other classes.
    roles
        Role of each image, str (n,): train, validation or test for a known class, unknown for a class that appears
        in the test only, "" for an image that takes no part.
    names
        Class of each image, known or not, str (n,).
    """

    known: tuple[str, ...]
    truth: np.ndarray
    roles: np.ndarray
    names: np.ndarray

    def indices(self, *roles: str) -> np.ndarray:
        """List the indices of the images with one of these roles, ascending: int64 (m,)."""
        return np.flatnonzero(np.isin(self.roles, roles))


def make_split(
    labels: Sequence[str], groups: np.ndarray, split: SplitSettings, *, shares: DataSettings, seed: int
) -> OpenSetSplit:
    """Share out images with ``labels`` (n,), each known class separately, so that all classes have the same shares.

    ``groups`` int (n,) gives copies of a photo the same number; all images of a group take the same role. Each class
    has a random generator of its own, so that it is shared out in the same way whatever other classes are known.

    Raises UserError for a class without images, and for a known class with too few images.
    """
    truth, roles = np.full(len(labels), -1), np.full(len(labels), UNUSED, dtype="U10")
    names = np.array(labels)
    for name in (*split.known, *split.unknown):
        if not (names == name).any():
            raise UserError(f"class {name}: no image of it; there are: {', '.join(sorted(set(labels)))}")
    roles[np.isin(names, split.unknown)] = UNKNOWN
    taken = {int(group): TEST for group in groups[roles == UNKNOWN]}
    for place, name in enumerate(split.known):
        members = np.flatnonzero(names == name)
        truth[members] = place
        rng = np.random.default_rng([seed, *name.encode()])
        order = rng.permutation(np.unique(groups[members]))
        counts = [round(share * len(order)) for share in (shares.test, shares.validation)]
        if min(counts) < 1 or len(order) - sum(counts) < 2:
            raise UserError(f"class {name}: {len(order)} different images cannot be shared out; give at least 5")
        drawn = [TEST] * counts[0] + [VALIDATION] * counts[1] + [TRAIN] * (len(order) - sum(counts))
        for group, role in zip(order.tolist(), drawn, strict=True):
            taken.setdefault(group, role)
        roles[members] = [taken[int(group)] for group in groups[members]]
    return OpenSetSplit(split.known, truth, roles, names)


def hold_out(groups: np.ndarray, shares: Sequence[float], seed: int) -> list[np.ndarray]:
    """Draw whole groups of images for each share; the rest comes last. Returns ascending indices for each part.

    ``groups`` int (n,) gives images of one group the same number. Raises UserError if a part is empty.
    """
    order = np.random.default_rng([seed, len(groups)]).permutation(np.unique(groups))
    parts, start = [], 0
    for count in (round(share * len(order)) for share in shares):
        parts.append(np.flatnonzero(np.isin(groups, order[start : start + count])))
        start += count
    parts.append(np.flatnonzero(np.isin(groups, order[start:])))
    if min(map(len, parts)) == 0 or len(order) - start < 2:
        raise UserError(f"{len(order)} different defect-free images cannot be shared out; give at least 10")
    return parts
