"""Leave-one-out banks against brute force, and against banks that were really built without the photo."""

from __future__ import annotations

import numpy as np
import torch

from fastener.models.coreset import greedy_coreset
from fastener.models.leave_one_out import LeaveOneOut, greedy_picks, nearest_groups
from fastener.models.memory_bank import MemoryBank


def collection(n: int, seed: int, height: int = 6, width: int = 5, dim: int = 4) -> torch.Tensor:
    """Features (n, height, width, dim) of photos that show the same few things, with noise."""
    generator = torch.Generator().manual_seed(seed)
    things = torch.randn(height * width, dim, generator=torch.Generator().manual_seed(1)) * 4
    noise = torch.randn(n, height * width, dim, generator=generator)
    return (things + noise).reshape(n, height, width, dim)


def bank_of(features: torch.Tensor, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    patches = features.reshape(-1, features.shape[-1])
    picks = torch.from_numpy(greedy_coreset(patches, rows).indices)
    return patches[picks], picks // (features.shape[1] * features.shape[2])


def test_nearest_groups_equal_brute_force() -> None:
    features = collection(7, 0)
    bank, groups = bank_of(features, 40)
    queries = collection(2, 5).reshape(-1, 4)
    nearest = nearest_groups(queries, MemoryBank(bank), groups)
    distances = torch.cdist(queries.double(), bank.double())
    for i, row in enumerate(distances):
        group = groups[row.argmin()]
        others = row[groups != group]
        assert nearest.group[i] == group
        np.testing.assert_allclose(nearest.first[i], row.min(), rtol=1e-5)
        np.testing.assert_allclose(nearest.second[i], others.min(), rtol=1e-5)
        np.testing.assert_allclose(nearest.without(3)[i], row[groups != 3].min(), rtol=1e-5)


def test_bank_of_one_group_has_no_second() -> None:
    nearest = nearest_groups(torch.randn(5, 4), MemoryBank(torch.randn(3, 4)), torch.zeros(3, dtype=torch.int64))
    assert nearest.second.isinf().all()


def test_greedy_picks_equal_brute_force() -> None:
    patches = torch.randn(50, 3, generator=torch.Generator().manual_seed(2)).double()
    rows = torch.randn(5, 3, generator=torch.Generator().manual_seed(3)).double()
    picks = greedy_picks(patches, torch.cdist(patches, rows).min(1)[0], 8)
    held = rows
    for pick in picks.tolist():
        nearest = torch.cdist(patches, held).min(1)[0]
        assert nearest[pick] == nearest.max()
        held = torch.cat([held, patches[pick : pick + 1]])
    assert len(set(picks.tolist())) == 8


def test_picks_stop_where_all_is_covered() -> None:
    assert greedy_picks(torch.zeros(6, 2), torch.zeros(6), 3).tolist() == []


def test_distances_are_to_others_rows_and_the_refill() -> None:
    features = collection(6, 4)
    bank, bank_groups = bank_of(features, 30)
    groups = torch.tensor([0, 1, 2, 3, 4, 4])
    bank_groups = groups[bank_groups]
    held_out = LeaveOneOut(MemoryBank(bank), bank_groups, features, groups)
    for group in range(5):
        refill = held_out.refill(group)
        assert len(refill) <= int((bank_groups == group).sum())
        rows = torch.cat([bank[bank_groups != group], refill])
        for i, distances in held_out.distances(group, refill):
            assert groups[i] == group
            expected = torch.cdist(features[i].reshape(-1, 4), rows).min(1)[0].reshape(6, 5)
            torch.testing.assert_close(distances, expected, atol=1e-4, rtol=1e-4)


def test_refill_rows_are_patches_of_other_photos() -> None:
    features = collection(5, 6)
    bank, bank_groups = bank_of(features, 25)
    refill = LeaveOneOut(MemoryBank(bank), bank_groups, features, torch.arange(5)).refill(2)
    others = features[[0, 1, 3, 4]].reshape(-1, 4)
    assert all((others == row).all(1).any() for row in refill)


def test_scores_are_as_high_as_those_of_new_photos() -> None:
    """The hole makes left-out photos look odd; filled, they look like photos that were never there."""
    holes, filled, fresh = [], [], []
    for seed in range(6):
        features, new = collection(20, seed), collection(20, 100 + seed)
        bank, bank_groups = bank_of(features, 60)
        held_out = LeaveOneOut(MemoryBank(bank), bank_groups, features, torch.arange(20))
        filled += [
            distances.max() for group in range(20) for _, distances in held_out.distances(group, held_out.refill(group))
        ]
        for i in range(20):
            hole = bank[bank_groups != i]
            holes.append(torch.cdist(features[i].reshape(-1, 4), hole).min(1)[0].max())
            fresh.append(torch.cdist(new[i].reshape(-1, 4), bank).min(1)[0].max())
    medians = [float(torch.stack(values).median()) for values in (holes, filled, fresh)]
    assert abs(medians[1] / medians[2] - 1) < 0.05
    assert medians[0] > medians[1]
