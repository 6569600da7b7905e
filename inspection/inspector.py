"""The whole inspector: learn from healthy photos, inspect new ones, be saved in one file."""

from __future__ import annotations

import copy
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fastener.common.errors import UserError
from fastener.config import Config, RunSettings
from fastener.datasets.near_copies import copy_groups, is_copy_of
from fastener.inspection.choice import choose
from fastener.inspection.decision import Decision
from fastener.inspection.evidence import EVIDENCE, hold_features
from fastener.inspection.evidence_base import Evidence, Setup, images_of
from fastener.inspection.model_folder import load_model, save_model
from fastener.inspection.pretrained import decided, for_saved, graph_of, quantise
from fastener.inspection.reading import Fingerprint, Loaded, Source, ahead, batches, fingerprint, load, prepare
from fastener.inspection.regions import find_regions
from fastener.inspection.result import EvidenceResult, Failure, Inspection
from fastener.models.calibration import confidence
from fastener.models.progress import Progress, no_progress
from fastener.models.runtime.device import resolve_device
from fastener.models.scores import HealthyScores
from fastener.preprocessing.pipeline import Prepared, Preprocessor

# Settings of ``run`` that change no score, so that each machine may have its own.
_OF_THE_MACHINE = ("batch_size", "workers", "memory_limit_mb")
CONFORMAL = "healthy training photos"
_FEW_MISSED = 0.1  # share of photos without a findable part that is no reason to say so
_QUANTISED_ON = 32  # photos whose activations set the ranges of int8


@dataclass(frozen=True)
class TrainingRecord:
    """Which photos a model knows: their SHA-256 checksums, signatures float32 (n, 4096), and groups of copies (n,)."""

    checksums: tuple[str, ...]
    signatures: np.ndarray
    groups: np.ndarray


class Inspector:
    """Preprocessing, evidence and decision in one. Make it with ``train`` or ``load``.

    ``notes``, text by name, is saved with it: for callers that have to know again how they made the photos.
    """

    def __init__(
        self, config: Config, setup: Setup, evidence: dict[str, Evidence], decision: Decision, training: TrainingRecord
    ):
        self.config = config
        self.backbone = setup.backbone
        self.device = setup.device
        self.evidence = evidence
        self.training = training
        self.notes: dict[str, str] = {}
        self.preprocessor = Preprocessor(config.preprocess)
        self._decide_by(decision)

    @classmethod
    def train(
        cls,
        sources: Sequence[Source],
        config: Config,
        weights: Path | None = None,
        progress: Progress = no_progress,
        warn: Callable[[str], None] = lambda line: None,
        checkpoint: Path | None = None,
        siblings: Sequence[int] | None = None,
    ) -> Inspector:
        """Learn from healthy photos: paths, or uint8 RGB arrays (H, W, 3). A few batches are in memory at a time.

        ``checkpoint`` is a file from which an interrupted training of an autoencoder goes on. ``siblings``, a number
        for each photo, says which are alike for another reason than health (slices of one battery): those of one
        number are left out together when they are scored, so that the threshold is one for batteries not seen. Copies
        are not looked for then, as neighbouring slices are copies by nature.

        Raises UserError for a photo that cannot be read, for fewer than two different photos, and where named weights
        cannot be had.
        """
        choice = choose(config, weights)
        if choice.warning:
            warn(choice.warning)
        device = resolve_device(config.run.device)
        setup = Setup(config, device, choice.backbone, choice.weights, progress, checkpoint)
        setup = replace(setup, sharing=hold_features(choice.kinds))
        evidence = {kind: EVIDENCE[kind](setup) for kind in choice.kinds}
        if config.run.precision == "int8":
            _quantise(sources, evidence, config)
        fingerprints = show(sources, evidence, config, progress)
        missed = sum(not one.part_found for one in fingerprints)
        if config.preprocess.enabled and missed > _FEW_MISSED * len(fingerprints):
            warn(
                f"no part was found in {missed} of {len(fingerprints)} photos, which are judged whole: look at "
                "train.py --preprocess-only; for photos without a background set preprocess.enabled=false"
            )
        return cls.taught(config, setup, evidence, fingerprints, lambda groups: _learn(evidence, groups), siblings)

    @classmethod
    def taught(
        cls,
        config: Config,
        setup: Setup,
        evidence: dict[str, Evidence],
        fingerprints: Sequence[Fingerprint],
        learn: Callable[[np.ndarray], dict[str, HealthyScores]],
        siblings: Sequence[int] | None = None,
    ) -> Inspector:
        """The last steps of ``train``, for evidence that was shown the photos of ``fingerprints``.

        ``fit_collected`` makes the evidence ready and gives the leave-one-out scores of the photos, by kind; it is
        told which photos (n,) have to be left out together. Raises UserError for fewer than two different photos.
        """
        signatures = np.stack([f.signature for f in fingerprints])
        groups = copy_groups(signatures) if siblings is None else np.arange(len(fingerprints))
        apart = groups if siblings is None else np.asarray(siblings)
        if len(np.unique(apart)) < 2:
            raise UserError(
                f"at least two different healthy photos are needed to calibrate; {len(fingerprints)} given, all alike"
            )
        scores = learn(apart)
        families = {kind: one.family for kind, one in evidence.items()}
        min_units = {kind: one.min_unit for kind, one in evidence.items()}
        map_threshold = {kind: one.map_threshold for kind, one in evidence.items() if one.map_threshold is not None}
        decision = Decision.fit(scores, groups, config.calibration, families, min_units, map_threshold)
        training = TrainingRecord(tuple(f.checksum for f in fingerprints), signatures, groups)
        return cls(config, setup, evidence, decision, training)

    def update(self, sources: Sequence[Source], progress: Progress = no_progress) -> int:
        """Learn more healthy photos; copies of photos already known are passed over. Returns how many were new.

        Raises UserError if a photo cannot be read or none is new.
        """
        fresh = show(sources, self.evidence, self.config, progress, self.training.signatures)
        if not fresh:
            raise UserError(
                f"none of the {len(sources)} photos is new: the model knows them, or copies of them, already"
            )
        signatures = np.stack([f.signature for f in fresh])
        groups = copy_groups(signatures) + self.training.groups.max() + 1
        scores = _learn(self.evidence, groups)
        self._decide_by(self.decision.extend(scores, groups))
        self.training = TrainingRecord(
            self.training.checksums + tuple(f.checksum for f in fresh),
            np.concatenate([self.training.signatures, signatures]),
            np.concatenate([self.training.groups, groups]),
        )
        return len(fresh)

    def _decide_by(self, decision: Decision) -> None:
        """Take this decision and its own threshold; one that was stored from elsewhere no longer fits."""
        self.decision = decision
        self.threshold, self.alpha = decision.threshold()
        self.threshold_source = CONFORMAL

    def inspect(self, sources: Iterable[Source]) -> list[Inspection | Failure]:
        """Inspect photos: paths, or uint8 RGB arrays (H, W, 3). A photo that cannot be read yields a Failure."""
        return list(self.stream(sources))

    def stream(self, sources: Iterable[Source], *, photo_side: int | None = None) -> Iterator[Inspection | Failure]:
        """``inspect``, one result at a time and in order; memory does not grow with the number of photos.

        With ``photo_side`` each result keeps its photo for pictures, the longer side at most that many pixels. Photos
        are then read one batch ahead instead of two, because they take more memory than what the model needs.
        """
        run = self.config.run
        window = (2 if photo_side is None else 1) * run.batch_size
        loaded = ahead(
            lambda source: load(source, self.preprocessor, photo_side=photo_side), sources, run.workers, window
        )
        for batch in batches(loaded, run.batch_size):
            yield from self.inspect_loaded(batch)

    def knows(self, photos: Sequence[Fingerprint]) -> np.ndarray:
        """Whether each photo, or a copy of it, was among the training photos: bool (n,)."""
        if not photos:
            return np.zeros(0, bool)
        same = np.array([bool(p.checksum) and p.checksum in self.training.checksums for p in photos])
        return same | is_copy_of(np.stack([p.signature for p in photos]), self.training.signatures)

    @property
    def holds_networks(self) -> bool:
        """Whether a saved file holds every network that there is, so that it needs no weights beside it."""
        extractors = [one.pretrained for one in self.evidence.values() if one.pretrained is not None]
        return all(graph_of(extractor) for extractor in extractors)

    def describe(self) -> str:
        """What the model is, in a few lines for a person."""
        different = len(np.unique(self.training.groups))
        backbone = "" if self.backbone == "filters" else f" ({self.backbone})"
        lines = [
            f"{len(self.training.groups)} healthy photos, {different} of them different",
            f"evidence: {', '.join(self.evidence)}{backbone}, on {self.device}",
            f"threshold {self.threshold:.3f}, "
            + (
                f"flags at most {self.alpha:.1%} of healthy parts like these"
                if self.threshold_source == CONFORMAL
                else f"from {self.threshold_source}"
            ),
        ]
        asked = self.config.calibration.alpha
        if self.alpha > asked and self.threshold_source == CONFORMAL:
            count = len(self.decision.healthy_joined)
            lines.append(f"alpha {asked:g} was asked for; {count} photos support no less than {self.alpha:.3f}")
        return "\n".join(lines)

    def with_threshold(self, threshold: float, source: str) -> Inspector:
        """The same inspector with another decision threshold on the joined score; ``source`` says where it is from."""
        other = copy.copy(self)
        other.threshold, other.threshold_source = threshold, source
        return other

    def adapted_to(self, baseline_scores: Sequence[float]) -> Inspector:
        """The same inspector for another camera or light, from joined scores of healthy shots taken there.

        The threshold moves by as much as the median of these scores lies above or below the training photos'. The
        false-alarm guarantee does not survive the move; it is an estimate as good as the baseline shots are many.
        """
        shift = float(np.median(baseline_scores) - np.median(self.decision.healthy_joined))
        return self.with_threshold(self.threshold + shift, f"{len(baseline_scores)} baseline shots")

    def save(self, path: Path) -> None:
        """Write everything that is needed to give the same scores again, except the backbone's public weights.

        A model that runs on ONNX holds its network, too. ``path``: a file, or a folder, see inspection/model_folder.py.
        """
        run = self.config.run if self.backbone == "filters" else decided(self.config.run, self.device, self.backbone)
        save_model(
            {
                "config": self.config.model_copy(update={"run": run}).model_dump(mode="json"),
                "backbone": self.backbone,
                "evidence": {kind: one.state() for kind, one in self.evidence.items()},
                "decision": self.decision.state(),
                "threshold": [self.threshold, self.threshold_source],
                "checksums": list(self.training.checksums),
                # Half precision keeps correlations to 1e-3, far finer than the gap between copies and others.
                "signatures": torch.from_numpy(self.training.signatures).half(),
                "groups": torch.from_numpy(self.training.groups),
                "notes": self.notes,
                "versions": {name: version(name) for name in ("torch", "torchvision", "numpy", "faiss-cpu")}
                | {"python": platform.python_version()},
            },
            path,
        )

    @classmethod
    def load(
        cls, path: Path | str, device: str = "auto", weights: Path | None = None, run: RunSettings | None = None
    ) -> Inspector:
        """Read a saved inspector, a file or a folder. ``weights`` is the backbone's file where it is not found by
        itself; ``run`` gives batch size, workers, memory limit, precision and runtime for this machine, else those of
        training are used, where they can be.

        Raises UserError if the file is missing, damaged or of another version, the weights are missing or others, or
        the model cannot be computed in the precision or by the runtime of ``run``.
        """
        try:
            return cls._restored(load_model(Path(path)), device, weights, run)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
            if "memory" in str(error):
                raise  # the file is good, the machine too small
            raise UserError(f"{path} was written by another version of this toolkit; train it again") from None

    @classmethod
    def _restored(cls, state: dict[str, Any], device: str, weights: Path | None, run: RunSettings | None) -> Inspector:
        config = Config.model_validate(state["config"])
        if run is not None:
            here = config.run.model_copy(update={name: getattr(run, name) for name in _OF_THE_MACHINE})
            config = config.model_copy(update={"run": here})
        setup = Setup(config, resolve_device(device), state["backbone"], weights)
        if setup.backbone != "filters":
            config = config.model_copy(update={"run": for_saved(run or RunSettings(), config.run, setup.device)})
            setup = replace(setup, config=config)
        setup = replace(setup, sharing=hold_features(state["evidence"]))
        evidence = {}
        for kind, saved in state["evidence"].items():
            evidence[kind] = EVIDENCE[kind](replace(setup, graph=saved.get("graph")))
            evidence[kind].restore(saved)
        training = TrainingRecord(
            tuple(state["checksums"]), state["signatures"].float().numpy(), state["groups"].numpy()
        )
        restored = cls(config, setup, evidence, Decision.from_state(state["decision"]), training)
        restored.notes = state.get("notes", {})  # files written before there were any lack them
        return restored.with_threshold(*state["threshold"])

    def inspect_loaded(self, batch: Sequence[Loaded]) -> Iterator[Inspection | Failure]:
        """``inspect``, in one forward pass, for photos that ``reading.load`` prepared with this ``preprocessor``."""
        readable = [one.prepared for one in batch if one.prepared is not None]
        results = iter(self._inspections(batch, readable) if readable else [])
        for one in batch:
            yield Failure(one.path, one.error) if one.prepared is None else next(results)

    def _inspections(self, batch: Sequence[Loaded], prepared: Sequence[Prepared]) -> list[Inspection]:
        scores = {kind: one.score(prepared) for kind, one in self.evidence.items()}
        joined = self.decision.join({kind: s.images for kind, s in scores.items()})
        maps = self.decision.join_maps({kind: s.maps for kind, s in scores.items()})
        overall = self.decision.p_values(joined)
        certain = confidence(joined, self.threshold, float(np.median(self.decision.healthy_joined)))
        by_kind = {kind: self.decision.evidence_p_values(kind, s.images) for kind, s in scores.items()}
        photos = [one for one in batch if one.prepared is not None]
        return [
            Inspection(
                path=loaded.path,
                score=float(joined[i]),
                threshold=self.threshold,
                p_value=float(overall[i]),
                confidence=float(certain[i]),
                evidence={
                    kind: EvidenceResult(float(s.images[i]), float(by_kind[kind][i])) for kind, s in scores.items()
                },
                regions=find_regions(maps[i], self.threshold, one.transform, one.photo_size),
                map=maps[i],
                mask=one.mask,
                transform=one.transform,
                photo_size=one.photo_size,
                part_found=one.part_found,
                photo=loaded.photo,
            )
            for i, (loaded, one) in enumerate(zip(photos, prepared, strict=True))
        ]


def _quantise(sources: Sequence[Source], evidence: dict[str, Evidence], config: Config) -> None:
    """Bring networks down to int8 on a sample of the photos, evenly spread; those that cannot be read tell later."""
    preprocessor = Preprocessor(config.preprocess)
    chosen = np.linspace(0, len(sources) - 1, min(len(sources), _QUANTISED_ON)).astype(int)
    loaded = ahead(lambda i: load(sources[i], preprocessor), chosen, config.run.workers, _QUANTISED_ON)
    sample = [one.prepared for one in loaded if one.prepared is not None]
    for one in evidence.values():
        if one.pretrained is not None and sample:
            quantise(one.pretrained, images_of(sample))


def show(
    sources: Sequence[Source],
    evidence: dict[str, Evidence],
    config: Config,
    progress: Progress,
    known: np.ndarray | None = None,
) -> list[Fingerprint]:
    """Show photos to all evidence, but for copies of those whose signatures are ``known``; what was shown.

    The first photo that cannot be read is an error, as it cannot be judged healthy.
    """
    if not sources:
        raise UserError("no healthy photos to learn from")
    preprocessor = Preprocessor(config.preprocess)

    def both(source: Source) -> tuple[Prepared, Fingerprint]:
        photo, prepared = prepare(source, preprocessor)
        return prepared, replace(fingerprint(source, photo), part_found=prepared.part_found)

    run = config.run
    shown: list[Fingerprint] = []
    pairs = progress(ahead(both, sources, run.workers, 2 * run.batch_size), len(sources), "reading")
    for batch in batches(pairs, run.batch_size):
        if known is not None:
            copies = is_copy_of(np.stack([one.signature for _, one in batch]), known)
            batch = [pair for pair, is_copy in zip(batch, copies, strict=True) if not is_copy]
        if batch:
            for one in evidence.values():
                one.collect_features([prepared for prepared, _ in batch])
            shown += [one for _, one in batch]
    return shown


def _learn(evidence: dict[str, Evidence], groups: np.ndarray) -> dict[str, HealthyScores]:
    try:
        return {kind: one.fit_collected(groups.tolist()) for kind, one in evidence.items()}
    except ValueError as error:
        raise UserError(f"cannot learn from these {len(groups)} photos: {error}") from None
