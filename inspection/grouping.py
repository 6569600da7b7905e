"""Which healthy photos belong together: copies count once, and photos of a row are left out together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastener.common.errors import UserError
from fastener.common.sampling import evenly
from fastener.datasets.near_copies import copy_groups
from fastener.inspection.reading import Fingerprint

# Photos of one block are left out together: a twentieth of all, and at most so many.
_BLOCKS, _LONGEST_BLOCK = 20, 10
# Level of the test that neighbours in the row are alike, and most pairs that it compares.
_LEVEL, _COMPARED = 0.001, 2000


@dataclass(frozen=True)
class Grouping:
    """Say which healthy photos belong together.

    Attributes
    ----------
    copies : ndarray of int64, (n,)
        Photos with the same number are copies of one photo and count as one observation.
    left_out : ndarray of int64, (n,)
        Photos with the same number are left out together when they are scored as unseen.
    disturbed : int
        Number of photos, the last ones, that are disturbed copies of a single photo.
    """

    copies: np.ndarray
    left_out: np.ndarray
    disturbed: int = 0

    @classmethod
    def of(cls, fingerprints: Sequence[Fingerprint], groups: Sequence[int] | None = None) -> Grouping:
        """Look for copies among the photos, or take the ``groups`` that a caller knows.

        Without ``groups``, photos that are alike in a row are left out together, see ``in_blocks``. With ``groups`` no
        copies are looked for: neighbouring slices of one battery, for example, look like copies by nature. Raises
        UserError unless at least two photos are different.
        """
        if groups is None:
            signatures = np.stack([one.signature for one in fingerprints])
            copies = copy_groups(signatures)
            left_out = in_blocks(copies, signatures)
        else:
            copies, left_out = np.arange(len(fingerprints)), np.asarray(groups)
        if len(np.unique(left_out)) < 2:
            raise UserError(
                f"at least two different healthy photos are needed to calibrate; {len(fingerprints)} given, all alike"
            )
        return cls(copies, left_out)


def in_blocks(copies: np.ndarray, signatures: np.ndarray) -> np.ndarray:
    """Join groups of copies, int64 (n,), that follow one another; a block has the number of its first group.

    Photos that were taken one after another can be alike: of the same batch, in the same light. A photo left out alone
    then finds its neighbours in the bank, and seems less odd than one of another day. On solar cells, which are sorted
    by module, 15 % of new good ones lay beyond a stated 6 %, and 9 % with blocks of ten. Where photos are in no order,
    by their ``signatures`` (n, d), each group is its own block. (Roberts et al., "Cross-validation strategies for data
    with temporal, spatial, hierarchical, or phylogenetic structure", Ecography 2017.)
    """
    names, first, inverse = np.unique(copies, return_index=True, return_inverse=True)
    order = np.argsort(first)
    size = min(max(1, len(names) // _BLOCKS), _LONGEST_BLOCK)
    if size == 1 or not _alike_in_a_row(signatures, np.sort(first)):
        return copies
    leaders = np.empty_like(names)
    leaders[order] = names[order][np.arange(len(names)) // size * size]
    return np.asarray(leaders[inverse])


def _alike_in_a_row(signatures: np.ndarray, row: np.ndarray) -> bool:
    """Tell whether signatures (n, d) correlate with the next one in ``row``, int64 (m,), more than with any other.

    Welch's test; pair by pair, since the signatures of many photos are large.
    """
    from scipy.stats import ttest_ind  # loads slowly, and only those who learn need it

    at = evenly(len(row) - 1, _COMPARED)
    other = (at + np.random.default_rng(0).integers(2, len(row) - 1, len(at))) % len(row)  # neither it nor the next
    norms = np.sqrt(np.einsum("ij,ij->i", signatures, signatures)).clip(1e-9)  # without a copy of all

    def correlations(others: np.ndarray) -> list[float]:
        pairs = zip(row[at].tolist(), row[others].tolist(), strict=True)
        return [float(signatures[i] @ signatures[j] / (norms[i] * norms[j])) for i, j in pairs]

    found = ttest_ind(correlations(at + 1), correlations(other), equal_var=False, alternative="greater")
    return bool(found.pvalue < _LEVEL)
