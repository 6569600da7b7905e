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

from fastener.models.memory_bank import MemoryBank

_NEIGHBOURS = 4  # that are asked for, in the hope that one of them is of another group than the nearest


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


def nearest_groups(patches: torch.Tensor, bank: MemoryBank, bank_groups: torch.Tensor) -> NearestGroups:
    """Search the bank of m rows, with groups int64 (m,), for patches float32 (n, d), whose device the result is on."""
    bank_groups = bank_groups.to(patches.device)
    distances, rows = bank.search(patches, _NEIGHBOURS, exact=True)
    groups = bank_groups[rows]
    group = groups[:, 0]
    second = distances.masked_fill(groups == group[:, None], torch.inf).amin(1)
    # All neighbours are of one group: those of others lie farther away.
    for one in group[second.isinf()].unique():
        own = bank_groups == one
        if not own.all():
            where = (second.isinf() & (group == one)).nonzero()[:, 0]
            second[where] = bank.without(own).search(patches[where], exact=True)[0][:, 0]
    return NearestGroups(distances[:, 0], group, second)


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
    bank : MemoryBank
        The bank of m rows.
    bank_groups : int64 (m,)
        Training group of each row.
    features : float16 or float32 (n, h, w, d)
        Patch features of the training photos, as the bank holds them.
    groups : int64 (n,)
        Training group of each photo: the photos of one group are left out together.
    """

    def __init__(
        self, bank: MemoryBank, bank_groups: torch.Tensor, features: torch.Tensor, groups: torch.Tensor
    ) -> None:
        self.bank = bank
        self.bank_groups = bank_groups.to(bank.device)
        self.features = features
        self.groups = groups
        self.n_patches = features.shape[1] * features.shape[2]
        self._patch_groups = groups.to(bank.device).repeat_interleave(self.n_patches)
        nearest = [nearest_groups(self._of(i), bank, bank_groups) for i in range(len(features))]
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
            return self.features.new_empty((0, self.features.shape[-1]), dtype=torch.float32)
        patches = self._rows(donors)
        return patches[greedy_picks(patches, self.nearest.second[donors], count).to(patches.device)]

    def distances(self, group: int, refill: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield each photo of ``group`` and its distances, float32 (h, w), to the bank with ``refill`` in its place."""
        refill = refill.to(self.bank.device)
        for i in (self.groups == group).nonzero()[:, 0].tolist():
            at = slice(i * self.n_patches, (i + 1) * self.n_patches)
            own = NearestGroups(self.nearest.first[at], self.nearest.group[at], self.nearest.second[at])
            distances = own.without(group)
            distances = with_refill(distances, self._of(i), refill)
            yield i, distances.reshape(self.features.shape[1:3])

    def _of(self, image: int) -> torch.Tensor:
        return self.features[image].reshape(self.n_patches, -1).float().to(self.bank.device)

    def _rows(self, at: torch.Tensor) -> torch.Tensor:
        flat = self.features.reshape(-1, self.features.shape[-1])
        return flat[at.cpu()].float().to(self.bank.device)
