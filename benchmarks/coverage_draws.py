"""Draw training sets from photos whose features are known, and measure what the threshold of each would do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from fastener.config import CalibrationSettings
from fastener.inspection.decision import Decision, Traits
from fastener.inspection.registry import EVIDENCE
from fastener.models.bank_rows import rows_to_keep
from fastener.models.coreset import greedy_coreset
from fastener.models.image_scores import top_mean
from fastener.models.leave_one_out import LeaveOneOut
from fastener.models.memory_bank import MemoryBank
from fastener.models.scores import HealthyScores


@dataclass(frozen=True)
class Photos:
    """Hold what the kinds of evidence see of n photos.

    Parameters
    ----------
    features : dict of str to float16 tensor of shape (n, h, w, d)
        Patch features, by kind of evidence that keeps a bank of patches.
    scores : dict of str to float64 (n,)
        Raw scores, by kind of evidence that learns nothing.
    """

    features: Mapping[str, torch.Tensor]
    scores: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.features.values()))) if self.features else len(next(iter(self.scores.values())))

    def take(self, chosen: np.ndarray) -> Photos:
        """Choose photos by their indices, int64 (k,)."""
        rows = torch.from_numpy(chosen)
        return Photos(
            {kind: each[rows] for kind, each in self.features.items()},
            {kind: each[chosen] for kind, each in self.scores.items()},
        )

    def join(self, other: Photos) -> Photos:
        """Append other photos, of the same kinds of evidence."""
        return Photos(
            {kind: torch.cat([each, other.features[kind]]) for kind, each in self.features.items()},
            {kind: np.concatenate([each, other.scores[kind]]) for kind, each in self.scores.items()},
        )


@dataclass(frozen=True)
class Draw:
    """Say what the threshold of one training set did on photos that were not in it.

    Parameters
    ----------
    false_alarms : float, 0 to 1
        Share of the other good photos above the threshold.
    recall : float, 0 to 1
        Share of the other bad photos above the threshold.
    bound : float, 0 to 1
        Share of healthy parts that the decision says it flags at most.
    """

    false_alarms: float
    recall: float
    bound: float


def draw_set(good: Photos, bad: Photos, n: int, mislabelled: int, rng: np.random.Generator) -> tuple[Photos, ...]:
    """Draw ``n`` training photos, ``mislabelled`` of them bad; return them, the other good and the other bad photos."""
    of_good, of_bad = rng.permutation(len(good)), rng.permutation(len(bad))
    sound = n - mislabelled
    training = good.take(of_good[:sound])
    if mislabelled:
        training = training.join(bad.take(of_bad[:mislabelled]))
    return training, good.take(of_good[sound:]), bad.take(of_bad[mislabelled:])


def try_threshold(
    training: Photos, good: Photos, bad: Photos, settings: CalibrationSettings, *, ratio: float | None, share: float
) -> Draw:
    """Learn from ``training`` as PatchCore does, set the threshold, and apply it to other photos.

    ``ratio`` is the share of the patches that the bank keeps, as in ``rows_to_keep``. An image score is the mean of the
    highest ``share`` of its patch distances.
    """
    healthy, fresh, defective = dict(training.scores), dict(good.scores), dict(bad.scores)
    for kind, features in training.features.items():
        others = (good.features[kind], bad.features[kind])
        healthy[kind], (fresh[kind], defective[kind]) = patch_scores(features, others, ratio, share)
    decision = fit_decision(healthy, settings)
    threshold, bound = decision.threshold()
    flagged = [float((decision.join(scores) > threshold).mean()) for scores in (fresh, defective)]
    return Draw(flagged[0], flagged[1], bound)


def patch_scores(
    training: torch.Tensor, others: tuple[torch.Tensor, ...], ratio: float | None, share: float
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Score training photos (n, h, w, d) as unseen, and each of ``others`` (m, h, w, d), by a bank of the former."""
    n, per_photo = len(training), training.shape[1] * training.shape[2]
    patches = training.flatten(0, 2)
    picks = torch.from_numpy(greedy_coreset(patches, rows_to_keep(len(patches), n, ratio)).indices)
    bank = patches[picks].float()
    unseen = LeaveOneOut(MemoryBank(bank), picks // per_photo, training, torch.arange(n))
    healthy = np.empty(n)
    for group in range(n):
        for i, distances in unseen.distances(group, unseen.refill(group)):
            healthy[i] = top_mean(distances[None].numpy(), share)[0]
    return healthy, [top_mean(_distances(each, bank), share) for each in others]


def fit_decision(healthy: Mapping[str, np.ndarray], settings: CalibrationSettings) -> Decision:
    """Calibrate the decision that a model of these kinds of evidence would have, from raw scores as unseen."""
    kinds = {kind: EVIDENCE[kind] for kind in healthy}
    count = len(next(iter(healthy.values())))
    return Decision.fit(
        {kind: HealthyScores(scores, np.full(count, np.nan)) for kind, scores in healthy.items()},
        np.arange(count),
        settings,
        {
            kind: Traits(one.family, weight=one.weight, min_unit=one.min_unit, prior_spread=one.prior_spread)
            for kind, one in kinds.items()
        },
    )


def _distances(features: torch.Tensor, bank: torch.Tensor) -> np.ndarray:
    """Measure the distance of each patch (n, h, w, d) to its nearest row of the bank (m, d): float32 (n, h, w)."""
    squares = bank.square().sum(1)
    found = np.empty(features.shape[:3], np.float32)
    for photo, into in zip(features, found, strict=True):
        queries = photo.flatten(0, 1).float()
        nearest = torch.addmm(squares[None], queries, bank.T, alpha=-2).min(1)[0] + queries.square().sum(1)
        into[:] = nearest.clamp_min(0).sqrt().reshape(photo.shape[:2]).numpy()
    return found
