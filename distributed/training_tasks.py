"""The steps of training in shards, as tasks of a Ray cluster; see distributed/training.py.

``features`` are those of one shard: float16 (n, h, w, c), read-only, from Ray's object store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch

from fastener.common.sampling import evenly
from fastener.config import Config
from fastener.distributed.ray_engine import Shipped, local_copy, use_cores
from fastener.distributed.registered import Registered
from fastener.inspection.evidence_base import Evidence, Setup, sharing
from fastener.inspection.reading import Fingerprint
from fastener.inspection.registry import EVIDENCE
from fastener.inspection.training import collect
from fastener.models.coreset import cover_radius, greedy_coreset
from fastener.models.feature_extractor import rescale
from fastener.models.moments import Moments
from fastener.models.runtime.device import resolve_device
from fastener.models.scores import HealthyScores
from fastener.preprocessing.pipeline import Preprocessor


@dataclass(frozen=True)
class Lesson:
    """Hold what a worker builds evidence from; ``weights`` is None without a network."""

    config: Config
    backbone: str
    registered: Registered
    weights: Shipped | None
    cores: int

    def evidence(self, kinds: Sequence[str]) -> dict[str, Evidence]:
        """Evidence as it is constructed: empty."""
        use_cores(self.cores)
        self.registered.register()
        with local_copy(self.weights) as file:
            setup = Setup(self.config, resolve_device(self.config.run.device), self.backbone, file)
            setup = replace(setup, sharing=sharing(kinds))
            return {kind: EVIDENCE[kind](setup) for kind in kinds}


@dataclass(frozen=True)
class Seen:
    """What is known of a shard's photos beside their features.

    ``scores``: the healthy scores of kinds that learn nothing; ``positions``: patches of an image, of those with a
    bank; ``collected``: what the others hand over.
    """

    fingerprints: list[Fingerprint]
    scores: dict[str, HealthyScores]
    positions: dict[str, int]
    collected: dict[str, list[Any]]


@ray.remote
def collect_features(lesson: Lesson, extractors: dict[str, dict[str, Any]], sources: Sequence[Path]) -> Any:
    """Show photos to evidence whose extractors have these states: what was ``Seen``, then the features of each kind."""
    evidence = lesson.evidence(list(lesson.registered.evidence))
    banks = {kind: one.patchcore for kind, one in evidence.items() if one.patchcore is not None}
    for kind, bank in banks.items():
        bank.extractor.restore(extractors[kind])
    preprocessor = Preprocessor(lesson.config.preprocess)
    fingerprints = collect(sources, evidence, lesson.config, preprocessor=preprocessor)
    collected = {kind: one.handed_over() for kind, one in evidence.items() if one.hands_over}
    alone = {kind: one for kind, one in evidence.items() if kind not in banks and kind not in collected}
    scores = {kind: one.fit_collected(range(len(sources))) for kind, one in alone.items()}
    features = [bank.take_features().numpy() for bank in banks.values()]
    positions = {kind: part.shape[1] * part.shape[2] for kind, part in zip(banks, features, strict=True)}
    seen = Seen(fingerprints, scores, positions, collected)
    return (seen, *features) if features else seen


@ray.remote
def moments(features: np.ndarray, together: bool) -> Moments:
    """Of all patches of the shard."""
    return Moments.of(_patches(features), together)


@ray.remote
def rescaled(features: np.ndarray, *scale: Any) -> np.ndarray:
    """A copy of the features, rescaled."""
    return np.asarray(rescale(_patches(features), *scale).numpy().reshape(features.shape))


@ray.remote
def shard_coreset(features: np.ndarray, keep: int, queries: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Picked rows of the shard: their indices, and themselves; and float32 ``queries`` halfway between neighbours."""
    rows = features.reshape(-1, features.shape[-1])
    indices, _ = _greedy(rows, keep)
    first = evenly(len(rows) - 1, queries)
    return indices, rows[indices], rows[first[:, None] + [0, 1]].mean(1, dtype=np.float32)


@ray.remote
def union_coreset(keep: int, *picked: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Greedy over the picks of all shards: indices into them, the rows, and their cover radius within the picks."""
    rows = np.concatenate(picked)
    indices, radius = _greedy(rows, keep)
    return indices, rows[indices], radius


@ray.remote
def single_cover(keep: int, *features: np.ndarray) -> float:
    """The cover radius of the coreset that one machine makes of all shards."""
    return _greedy(np.concatenate([part.reshape(-1, part.shape[-1]) for part in features]), keep)[1]


@ray.remote
def cover(features: np.ndarray, bank: np.ndarray) -> float:
    """Largest L2 distance of a patch of the shard to ``bank`` (m, c)."""
    return cover_radius(features.reshape(-1, features.shape[-1]), bank, _device())


@ray.remote
def calibrate(
    lesson: Lesson,
    kind: str,
    features: np.ndarray,
    measured: np.ndarray,
    groups: np.ndarray,
    bank: np.ndarray,
    bank_groups: np.ndarray,
    index: dict[str, Any] | None,
) -> HealthyScores:
    """Leave-one-out scores of the shard's images (n,); NaN for those that are not ``measured``."""
    images, peaks = np.full((2, len(features)), np.nan, np.float32)
    if measured.any():
        patchcore = lesson.evidence([kind])[kind].patchcore
        assert patchcore is not None
        patchcore.set_bank(torch.from_numpy(bank.copy()).float(), torch.from_numpy(bank_groups.copy()))
        patchcore.bank_.restore_index(index)
        size = Preprocessor(lesson.config.preprocess).size
        scores = patchcore.calibrate(torch.from_numpy(features[measured]), groups[measured].tolist(), size)
        images[measured], peaks[measured] = scores.images, scores.peaks
    return HealthyScores(images, peaks)


def _greedy(rows: np.ndarray, keep: int) -> tuple[np.ndarray, float]:
    if keep >= len(rows):
        return np.arange(len(rows)), 0.0
    coreset = greedy_coreset(rows, keep, device=_device())
    return coreset.indices, coreset.cover_radius


def _patches(features: np.ndarray) -> torch.Tensor:
    """A copy, as objects of the store must not be changed: (n * h * w, c)."""
    return torch.from_numpy(features.reshape(-1, features.shape[-1]).copy())


def _device() -> torch.device:
    return resolve_device("auto")
