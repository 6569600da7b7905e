"""Train on many machines: features extracted side by side, a greedy coreset per shard, then greedy over their union.

The photos are cut into one shard a worker. Every step is a task that Ray repeats where a worker dies; the features of a
shard lie in Ray's object store, which makes them again where they are lost.

Cover radius. Greedy picks of k rows cover their shard within twice what any k centres could (Gonzalez 1985), and so do
the k picked from the union with it: a row is at most 2 + 2 = 4 times the least possible radius from the bank, and one
machine's radius is no less than that. The composition is that of Malkomes, Kusner, Chen, Weinberger and Moseley, "Fast
Distributed k-Center Clustering with Outliers on Massive Data", NIPS 2015; it takes k picks from each shard, as is done
here. See also Indyk et al. 2014, "Composable core-sets for diversity and coverage maximization".

Calibration is that of one machine but for one thing: every photo is scored against the whole bank without the rows of
its own group, and the hole that they leave is filled from the photos of its shard only, see models/leave_one_out.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch

from fastener.common.errors import UserError
from fastener.common.sampling import evenly_grouped
from fastener.config import Config
from fastener.distributed import ray_engine
from fastener.distributed import training_tasks as tasks
from fastener.distributed.ray_engine import Shipped, Workers
from fastener.distributed.registered import Registered
from fastener.inspection.choice import choose
from fastener.inspection.evidence_base import Evidence, Setup, images_of
from fastener.inspection.grouping import Grouping
from fastener.inspection.inspector import Inspector
from fastener.inspection.photo_settings import settled
from fastener.inspection.reading import Fingerprint, prepare
from fastener.inspection.registry import EVIDENCE
from fastener.inspection.training import build_evidence, build_setup, report, that_speak
from fastener.models.bank_rows import rows_to_keep
from fastener.models.moments import Moments
from fastener.models.patchcore import PatchCore
from fastener.models.progress import Progress, no_progress
from fastener.models.scores import HealthyScores
from fastener.preprocessing.pipeline import Preprocessor

FACTOR = 4
# Comparisons of a row with a pick (some minutes on two cores) up to which one machine's coreset is made as well.
COMPARED_UP_TO = 2 * 10**10
_QUERIES = 1024  # patches that an index is tuned with


@dataclass(frozen=True)
class Cover:
    """How well a bank covers the training patches, beside the bank that one machine would have made.

    ``radius``: largest L2 distance of a patch to the bank. ``single``: one machine's, None where it was not made.
    ``least``: what no choice of ``kept`` patches can go below: half the radius of the greedy picks in their union.
    """

    kind: str
    shards: int
    kept: int
    patches: int
    radius: float
    single: float | None
    least: float

    def describe(self) -> str:
        """One line for a person."""
        text = (
            f"{self.kind}: {self.kept} of {self.patches} patches, from {self.shards} shards; "
            f"cover radius {self.radius:.4g}"
        )
        if self.single:
            return f"{text}, {self.radius / self.single:.3f} times that of one machine ({self.single:.4g})"
        if self.least:
            bound = min(FACTOR, self.radius / self.least)
            return f"{text}, at most {bound:.2f} times that of one machine (not made, being too large)"
        return text


def train(
    sources: Sequence[Path],
    config: Config,
    workers: Workers,
    weights: Path | None = None,
    progress: Progress = no_progress,
    warn: Callable[[str], None] = lambda line: None,
) -> tuple[Inspector, list[Cover]]:
    """``Inspector.fit`` on a cluster (see ``ray_engine.joined``), and how well each bank covers its patches.

    Raises UserError as ``Inspector.fit`` does, and for kinds of evidence that are not learned in shards.
    """
    sources = [path.absolute() for path in sources]
    config = settled(config, sources)
    choice = choose(config, weights)
    if choice.warning:
        warn(choice.warning)
    whole = [kind for kind in choice.kinds if not EVIDENCE[kind].in_shards]
    if whole and config.evidence is None:
        warn(f"evidence {', '.join(whole)} is not learned in shards and is left out; without --cluster it is used")
        choice = replace(choice, kinds=tuple(kind for kind in choice.kinds if kind not in whole))
    elif whole:
        raise UserError(
            f"evidence {whole[0]} is not learned in shards; leave out --cluster, or train categories by --all"
        )
    if config.model.turns > 1:
        raise UserError("model.turns is for few photos, which need no cluster; leave out --cluster")
    if config.model.per_position:
        raise UserError("model.per_position compares each photo with those of all shards; leave out --cluster")
    if config.run.precision == "int8":
        raise UserError("--precision int8 looks at photos of all shards first; leave out --cluster")
    setup = build_setup(config, choice)
    evidence = build_evidence(setup, choice.kinds)
    cluster = _Cluster(sources, setup, evidence, workers, progress)
    photos = cluster.collect()
    grouping = Grouping.of(photos)
    scores = cluster.fit(grouping.left_out)
    evidence = that_speak(evidence, config, warn)
    scores = {kind: scores[kind] for kind in evidence}
    inspector = Inspector.calibrated(config, setup, evidence=evidence, photos=photos, grouping=grouping, scores=scores)
    inspector.report = report(inspector, sources, photos, grouping, progress=progress)
    for line in inspector.report.warnings():
        warn(line)
    return inspector, cluster.covers


class _Cluster:
    """Runs the steps on the cluster; what is learned ends in ``evidence``."""

    def __init__(
        self, sources: Sequence[Path], setup: Setup, evidence: dict[str, Evidence], workers: Workers, progress: Progress
    ):
        self.config = setup.config
        self.evidence = evidence
        self.banks = {kind: one.patchcore for kind, one in evidence.items() if one.patchcore is not None}
        self.progress = progress
        self.covers: list[Cover] = []
        self._cores = {"num_cpus": 1 if workers.gpus else workers.cores, "num_gpus": workers.gpus}
        self._sources = list(sources)
        self._shards = [part for part in np.array_split(np.arange(len(sources)), workers.count) if len(part)]
        weights = None if setup.weights is None else Shipped.of(setup.weights)
        registered = Registered.of(evidence, setup.backbone)
        self._lesson = ray.put(tasks.Lesson(setup.config, setup.backbone, registered, weights, workers.cores))
        self._features: dict[str, list[Any]] = {}
        self._positions: dict[str, int] = {}
        self._scores: dict[str, HealthyScores] = {}

    def collect(self) -> list[Fingerprint]:
        """Show every shard to evidence of its own; its features stay in the cluster."""
        if not self._sources:
            raise UserError("no healthy photos to learn from")
        first = images_of(prepare(self._sources[0], Preprocessor(self.config.preprocess))[1])
        for one in self.banks.values():  # the shards subtract what one machine subtracts
            one.extractor.centre_on(one.extractor(first))
        states = ray.put({kind: one.extractor.state() for kind, one in self.banks.items()})
        kinds = list(self.banks)
        seen = []
        for shard in self._shards:
            sources = [self._sources[i] for i in shard]
            started = self._start(tasks.collect_features, self._lesson, states, sources, returns=1 + len(kinds))
            seen.append(started if kinds else [started])
        shown = self._finish([one[0] for one in seen], "reading")
        self._features = {kind: [one[1 + at] for one in seen] for at, kind in enumerate(kinds)}
        self._positions = shown[0].positions
        self._scores = {kind: HealthyScores.join([one.scores[kind] for one in shown]) for kind in shown[0].scores}
        for one in shown:
            for kind, collected in one.collected.items():
                self.evidence[kind].take_in(collected)
        return [fingerprint for one in shown for fingerprint in one.fingerprints]

    def fit(self, groups: np.ndarray) -> dict[str, HealthyScores]:
        """Make the banks; every photo's score as unseen by them. ``groups`` (n,) are left out together."""
        scores = {}
        for kind, one in self.evidence.items():
            if kind in self.banks:
                scores[kind] = self._learn(kind, self.banks[kind], groups)
            else:
                scores[kind] = one.fit_collected(groups.tolist()) if one.hands_over else self._scores[kind]
        return scores

    def _learn(self, kind: str, one: PatchCore, groups: np.ndarray) -> HealthyScores:
        features = self._features.pop(kind)
        if one.extractor.learns_scale:
            moments = self._finish(
                [self._start(tasks.moments, part, one.extractor.whiten) for part in features], f"{kind}: scale"
            )
            scale = one.extractor.fit_to(Moments.join(moments))
            features = [self._start(tasks.rescaled, part, *scale) for part in features]
        patches = self._positions[kind] * len(groups)
        keep = rows_to_keep(patches, len(self._sources), self.config.model.coreset_ratio)
        queries_each = -(-_QUERIES // len(features))
        picked = [self._start(tasks.shard_coreset, part, keep, queries_each, returns=3) for part in features]
        chosen, rows, within = ray.get(self._start(tasks.union_coreset, keep, *[union for _, union, _ in picked]))
        indices = self._finish([part for part, _, _ in picked], f"{kind}: coreset")
        owners = [groups[s][i // self._positions[kind]] for s, i in zip(self._shards, indices, strict=True)]
        bank_groups = np.concatenate(owners)[chosen]
        bank = ray.put(rows)
        covers = [self._start(tasks.cover, part, bank) for part in features]
        compared = [self._start(tasks.single_cover, keep, *features)] if patches * keep <= COMPARED_UP_TO else []
        queries = torch.from_numpy(np.concatenate(ray.get([sample for _, _, sample in picked])))
        one.set_bank(torch.from_numpy(rows.copy()).float(), torch.from_numpy(bank_groups), queries)
        index = one.bank_.index_state()
        scores = self._calibrate(kind, features, groups, (bank, bank_groups, index))
        radius = max(self._finish(covers, f"{kind}: cover radius"))
        single = self._finish(compared, f"{kind}: one machine's coreset")
        one.cover_radius_ = radius
        self.covers.append(Cover(kind, len(features), keep, patches, radius, single[0] if single else None, within / 2))
        return scores

    def _calibrate(
        self, kind: str, features: list[Any], groups: np.ndarray, bank: tuple[Any, np.ndarray, dict[str, Any] | None]
    ) -> HealthyScores:
        """``bank``: its rows, the group of each, and the index."""
        measured = np.isin(groups, evenly_grouped(groups, self.config.calibration.max_photos))
        started = [
            self._start(tasks.calibrate, self._lesson, kind, part, measured[shard], groups[shard], *bank)
            for part, shard in zip(features, self._shards, strict=True)
        ]
        return HealthyScores.join(self._finish(started, f"{kind}: calibrating"))

    def _start(self, task: Any, *arguments: Any, returns: int = 1) -> Any:
        return task.options(num_returns=returns, max_retries=ray_engine.RETRIES, **self._cores).remote(*arguments)

    def _finish(self, started: list[Any], label: str) -> list[Any]:
        return [ray.get(one) for one in self.progress(started, len(started), label)]
