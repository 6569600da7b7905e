"""Banks as they would be without one training photo: the photo's rows taken out, and the hole they leave filled.

A bank is a coreset: where several photos show the same, only one of them holds the row. Taking the rows of a photo out
leaves a hole where the bank would have had rows of other photos, had the photo not been there, and makes the photo look
odder than a new healthy one (its median score by 5 to 15 % on screws, tiles and brushes). So the greedy selection goes
on for each left-out photo: among the patches of other photos which its rows had covered, as many are picked as were
taken out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

_DISTANCES_AT_ONCE = 2**24


@dataclass(frozen=True)
class NearestGroups:
    """For each of n patches the nearest row of a bank, and the nearest row of any other group.

    Parameters
    ----------
    first, second : float32 (n,)
        L2 distances to the two rows; ``second`` is infinite if the bank is of one group.
    group : int64 (n,)
        Group of the nearest row.
    """

    first: torch.Tensor
    group: torch.Tensor
    second: torch.Tensor

    def without(self, group: int) -> torch.Tensor:
        """Distances float32 (n,) to the bank without the rows of ``group``."""
        return torch.where(self.group == group, self.second, self.first)


def nearest_groups(patches: torch.Tensor, bank: torch.Tensor, bank_groups: torch.Tensor) -> NearestGroups:
    """Search the bank, float32 (m, d) with groups int64 (m,), for patches float32 (n, d), on the device of ``bank``."""
    parts = []
    squares = bank.square().sum(1)
    for some in patches.split(max(1, _DISTANCES_AT_ONCE // max(len(bank), 1))):
        queries = some.to(bank)
        # The square of the query is the same for all rows of the bank, so that the order does not need it.
        order = torch.addmm(squares[None], queries, bank.T, alpha=-2)
        nearest = order.argmin(1)
        group = bank_groups[nearest]
        order.masked_fill_(bank_groups[None] == group[:, None], torch.inf)
        best, other = order.min(1)
        # Differences, not expanded squares: those lose small distances to rounding.
        first = (queries - bank[nearest]).norm(dim=1)
        second = torch.where(best.isinf(), torch.inf, (queries - bank[other]).norm(dim=1))
        parts.append((first, group, second))
    first, group, second = (torch.cat(each) for each in zip(*parts, strict=True))
    return NearestGroups(first, group, second)


def with_refill(distances: torch.Tensor, patches: torch.Tensor, refill: torch.Tensor) -> torch.Tensor:
    """Shorten distances (n,) of patches (n, d) to a bank where rows of ``refill`` (k, d) are nearer."""
    return torch.minimum(distances, torch.cdist(patches, refill).min(1)[0]) if len(refill) else distances


def greedy_picks(patches: torch.Tensor, covered: torch.Tensor, count: int) -> torch.Tensor:
    """Pick up to ``count`` patches (n, d), each time the one farthest from all rows: indices int64 (k,).

    ``covered`` float32 (n,) holds the distances to the rows that are there already.
    """
    picks: list[int] = []
    distances = covered.clone()
    for _ in range(min(count, len(patches))):
        pick = int(distances.argmax())
        if distances[pick] <= 0:
            break
        picks.append(pick)
        distances = torch.minimum(distances, (patches - patches[pick]).norm(dim=1))
        distances[pick] = 0
    return torch.tensor(picks, dtype=torch.int64)


class LeaveOneOut:
    """Scores training photos as if the bank had not seen them.

    Parameters
    ----------
    bank : float32 (m, d)
        Rows of the memory bank.
    bank_groups : int64 (m,)
        Training group of each row.
    features : float16 or float32 (n, h, w, d)
        Patch features of the training photos, as the bank holds them.
    groups : int64 (n,)
        Training group of each photo: the photos of one group are left out together.
    """

    def __init__(
        self, bank: torch.Tensor, bank_groups: torch.Tensor, features: torch.Tensor, groups: torch.Tensor
    ) -> None:
        self.bank = bank
        self.bank_groups = bank_groups.to(bank.device)
        self.features = features
        self.groups = groups
        self.n_patches = features.shape[1] * features.shape[2]
        self._patch_groups = groups.to(bank.device).repeat_interleave(self.n_patches)
        nearest = [nearest_groups(self._of(i), bank, self.bank_groups) for i in range(len(features))]
        self.nearest = NearestGroups(
            torch.cat([one.first for one in nearest]),
            torch.cat([one.group for one in nearest]),
            torch.cat([one.second for one in nearest]),
        )

    def refill(self, group: int) -> torch.Tensor:
        """Rows float32 (k, d) that the bank would have had instead of those of ``group``."""
        count = int((self.bank_groups == group).sum())
        donors = ((self.nearest.group == group) & (self._patch_groups != group)).nonzero()[:, 0]
        if not count or not len(donors):
            return self.bank[:0]
        patches = self._rows(donors)
        return patches[greedy_picks(patches, self.nearest.second[donors], count).to(patches.device)]

    def distances(self, group: int, refill: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield each photo of ``group`` and its distances, float32 (h, w), to the bank with ``refill`` in its place."""
        refill = refill.to(self.bank)
        for i in (self.groups == group).nonzero()[:, 0].tolist():
            at = slice(i * self.n_patches, (i + 1) * self.n_patches)
            own = NearestGroups(self.nearest.first[at], self.nearest.group[at], self.nearest.second[at])
            distances = own.without(group)
            distances = with_refill(distances, self._of(i).to(refill), refill)
            yield i, distances.reshape(self.features.shape[1:3])

    def _of(self, image: int) -> torch.Tensor:
        return self.features[image].reshape(self.n_patches, -1).float()

    def _rows(self, at: torch.Tensor) -> torch.Tensor:
        flat = self.features.reshape(-1, self.features.shape[-1])
        return flat[at.cpu()].float().to(self.bank)
