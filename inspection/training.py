"""The steps of training, in their order: build the evidence, collect features, group the photos, fit.

One machine and a cluster (distributed/training.py) take the same steps; only who does the work differs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastener.common.errors import UserError
from fastener.common.sampling import evenly
from fastener.config import Config, load_config
from fastener.datasets.near_copies import copy_groups, is_copy_of
from fastener.inspection.choice import Choice
from fastener.inspection.decision import Decision
from fastener.inspection.evidence_base import Evidence, Setup, images_of, sharing
from fastener.inspection.grouping import Grouping, in_blocks
from fastener.inspection.input_check import InputCheck, input_figures
from fastener.inspection.outlines import odd_outlines, outline_figures
from fastener.inspection.pretrained import quantise
from fastener.inspection.reading import (
    Fingerprint,
    Source,
    ahead,
    batches,
    fingerprint,
    load,
    prepare,
)
from fastener.inspection.registry import EVIDENCE
from fastener.inspection.threshold_report import MOST_PHOTOS, ThresholdReport, find_synthetic_defects, report_of
from fastener.models.layer_memory import LayerMemory
from fastener.models.progress import Progress, no_progress
from fastener.models.runtime.device import resolve_device
from fastener.models.scores import HealthyScores
from fastener.preprocessing.pipeline import Prepared, Preprocessor

if TYPE_CHECKING:
    from fastener.inspection.inspector import Inspector

Warn = Callable[[str], None]

_FEW_MISSED = 0.1  # share of photos without a findable part up to which no warning is given
_QUANTISED_ON = 32  # photos whose activations set the ranges of int8


@dataclass(frozen=True)
class TrainingRecord:
    """Remember which photos a model was trained on.

    Attributes
    ----------
    checksums : tuple of str, n
        SHA-256 of each photo's file; "" for a photo that came as an array.
    signatures : ndarray of float32, (n, d)
        Perceptual signature of each photo.
    groups : ndarray of int64, (n,)
        Number of the group of copies that each photo belongs to.
    left_out : ndarray of int64, (n,)
        Photos with the same number were left out together when they were scored as unseen.
    names : tuple of str, n
        File name of each photo, or "photo N"; empty for models that were saved before names were.
    disturbed : int
        Number of these photos that are disturbed copies of a single photo, see inspection/one_photo.py.
    """

    checksums: tuple[str, ...]
    signatures: np.ndarray
    groups: np.ndarray
    left_out: np.ndarray
    names: tuple[str, ...] = ()
    disturbed: int = 0

    @property
    def n_photos(self) -> int:
        """Number of photos that were given."""
        return len(self.checksums) - self.disturbed

    @property
    def n_different(self) -> int:
        """Number of different photos that were given."""
        return len(np.unique(self.groups)) - self.disturbed

    @classmethod
    def of(cls, fingerprints: Sequence[Fingerprint], grouping: Grouping) -> TrainingRecord:
        """Record photos and their groups of copies."""
        signatures = np.stack([one.signature for one in fingerprints])
        return cls(
            tuple(one.checksum for one in fingerprints),
            signatures,
            grouping.copies,
            grouping.left_out,
            names_of_photos(fingerprints),
            grouping.disturbed,
        )

    def names_of(self, groups: np.ndarray) -> list[str]:
        """Name the first photo of each group of copies in ``groups``, (k,)."""
        first = {group: i for i, group in reversed(list(enumerate(self.groups.tolist())))}
        return [self.names[first[group]] if self.names else f"photo {first[group] + 1}" for group in groups.tolist()]

    def knows(self, photos: Sequence[Fingerprint]) -> np.ndarray:
        """Tell whether each photo, or a copy of it, is recorded: bool (n,)."""
        if not photos:
            return np.zeros(0, bool)
        same = np.array([bool(one.checksum) and one.checksum in self.checksums for one in photos])
        return same | is_copy_of(np.stack([one.signature for one in photos]), self.signatures)

    def extended(self, fingerprints: Sequence[Fingerprint], groups: Sequence[int] | None = None) -> TrainingRecord:
        """Append new photos; their groups of copies get the numbers after the present ones.

        Photos whose ``groups`` (n,) are given are alike by nature, and no copies of one another.
        """
        signatures = np.stack([one.signature for one in fingerprints])
        copies = copy_groups(signatures) if groups is None else np.arange(len(signatures))
        copies += self.groups.max() + 1
        return TrainingRecord(
            self.checksums + tuple(one.checksum for one in fingerprints),
            np.concatenate([self.signatures, signatures]),
            np.concatenate([self.groups, copies]),
            np.concatenate([self.left_out, in_blocks(copies, signatures) if groups is None else np.asarray(groups)]),
            self.names + names_of_photos(fingerprints, self.n_photos) if self.names else (),
            self.disturbed,
        )


def names_of_photos(fingerprints: Sequence[Fingerprint], before: int = 0) -> tuple[str, ...]:
    """Name photos by their files, or "photo N", counted from ``before`` + 1."""
    return tuple(one.name or f"photo {before + i + 1}" for i, one in enumerate(fingerprints))


def per_tile(values: np.ndarray, fingerprints: Sequence[Fingerprint]) -> np.ndarray:
    """Repeat a value of each photo, (n,), for each of its tiles: (number of all tiles,)."""
    return np.repeat(values, [one.tiles for one in fingerprints])


def with_settings(config: Config | None, settings: dict[str, Any]) -> Config:
    """Override settings of ``config`` (None: the defaults), each named ``section__key``.

    Raises UserError for a setting that does not exist and for a value that is not allowed.
    """
    if config is not None and not settings:
        return config
    try:
        changed = load_config(flags={name.replace("__", "."): value for name, value in settings.items()})
    except UserError as error:
        raise UserError(str(error).removeprefix("--set: ")) from None
    if config is None:
        return changed
    tree = config.model_dump()
    for name, value in settings.items():
        *sections, key = name.split("__")
        place = tree
        for section in sections:
            place = place[section]
        place[key] = value
    return Config.model_validate(tree)


def warn_python(line: str) -> None:
    """Show a line to the user as a Python warning."""
    warnings.warn(line, stacklevel=3)


def build_setup(
    config: Config,
    choice: Choice,
    *,
    progress: Progress = no_progress,
    checkpoint: Path | None = None,
    memory: LayerMemory | None = None,
) -> Setup:
    """Put together all that evidence of the chosen kinds is built from."""
    device = resolve_device(config.run.device)
    setup = Setup(config, device, choice.backbone, choice.weights, progress, checkpoint)
    return replace(setup, sharing=sharing(choice.kinds), memory=memory)


def build_evidence(setup: Setup, kinds: Sequence[str]) -> dict[str, Evidence]:
    """Construct empty evidence of each kind."""
    return {kind: EVIDENCE[kind](setup) for kind in kinds}


def quantise_networks(
    sources: Sequence[Source], evidence: dict[str, Evidence], config: Config, preprocessor: Preprocessor
) -> None:
    """Bring networks down to int8 on an evenly spaced sample of the photos.

    Photos that cannot be read are passed over here; ``collect`` reports them.
    """
    chosen = evenly(len(sources), _QUANTISED_ON).tolist()
    loaded = ahead(lambda i: load(sources[i], preprocessor), chosen, config.run.workers, _QUANTISED_ON)
    sample = [tile for one in loaded for tile in one.tiles]
    for one in evidence.values():
        if one.pretrained is not None and sample:
            quantise(one.pretrained, images_of(sample))


def collect(
    sources: Sequence[Source],
    evidence: dict[str, Evidence],
    config: Config,
    *,
    preprocessor: Preprocessor,
    progress: Progress = no_progress,
    known: np.ndarray | None = None,
) -> list[Fingerprint]:
    """Let all evidence collect the features of the photos, a few batches at a time; identify the photos.

    ``known``, signatures (m, d), are photos whose copies are passed over; they are not in the result. Raises
    UserError for the first photo that cannot be read, as nobody can say that it is healthy.
    """
    if not sources:
        raise UserError("no healthy photos to learn from")

    def identified(source: Source) -> tuple[tuple[Prepared, ...], Fingerprint]:
        photo, tiles = prepare(source, preprocessor)
        found = any(tile.part_found for tile in tiles)
        figures = np.stack([input_figures(tile) for tile in tiles])
        outline = outline_figures(tiles[0]) if config.preprocess.seeks_part else None
        seen = replace(
            fingerprint(source, photo.pixels), part_found=found, tiles=len(tiles), figures=figures, notes=photo.notes
        )
        return tiles, replace(seen, outline=outline)

    run = config.run
    collected: list[Fingerprint] = []
    pairs = progress(ahead(identified, sources, run.workers, 2 * run.batch_size), len(sources), "reading")
    for batch in batches(pairs, run.batch_size):
        if known is not None:
            copies = is_copy_of(np.stack([one.signature for _, one in batch]), known)
            batch = [pair for pair, is_copy in zip(batch, copies, strict=True) if not is_copy]
        for prepared in batches((tile for tiles, _ in batch for tile in tiles), run.batch_size):
            for one in evidence.values():
                one.collect_features(prepared)
        collected += [one for _, one in batch]
    return collected


def fit_evidence(evidence: dict[str, Evidence], groups: np.ndarray) -> dict[str, HealthyScores]:
    """Fit all evidence to what it has collected, and return every image's score as if its group had been left out.

    ``groups`` (n,) has one number for each collected image. Raises UserError if these images cannot be fitted.
    """
    try:
        return {kind: one.fit_collected(groups.tolist()) for kind, one in evidence.items()}
    except ValueError as error:
        raise UserError(f"cannot learn from these {len(groups)} photos: {error}") from None


def that_speak(evidence: dict[str, Evidence], config: Config, warn: Warn) -> dict[str, Evidence]:
    """Leave out kinds that found nothing to judge in the photos: a voice that never changes blurs the others.

    ``warn`` names those that ``config`` asks for. If no kind has found anything, all stay.
    """
    speaking = {kind: one for kind, one in evidence.items() if not one.says_nothing}
    for kind in evidence:
        if config.evidence and kind not in speaking:
            warn(f"evidence {kind} found nothing to judge in these photos, and is left out")
    return speaking or evidence


def calibrate(
    scores: Mapping[str, HealthyScores], evidence: Mapping[str, Evidence], groups: np.ndarray, config: Config
) -> Decision:
    """Calibrate the decision on scores by kind of evidence; images with the same number in ``groups`` count as one."""
    return Decision.fit(
        scores,
        groups,
        config.calibration,
        {kind: one.traits for kind, one in evidence.items()},
    )


def figures_of(photos: Sequence[Fingerprint]) -> np.ndarray:
    """Join the input figures of all frames of the photos: float64 (n, 5)."""
    return np.concatenate([one.figures for one in photos if one.figures is not None])


def input_check(photos: Sequence[Fingerprint]) -> InputCheck | None:
    """Learn which photos can be judged from the figures of the training photos; None where they were not measured."""
    if any(one.figures is None for one in photos):
        return None
    return InputCheck.fit(figures_of(photos), [one.part_found for one in photos])


def report(
    inspector: Inspector,
    sources: Sequence[Source],
    photos: Sequence[Fingerprint],
    grouping: Grouping,
    *,
    progress: Progress = no_progress,
) -> ThresholdReport:
    """Say what the threshold of a new inspector rests on, and which synthetic defects it finds.

    ``photos`` (n,) identify the ``sources`` (n,).
    """
    basis = report_of(inspector.decision, inspector.training.names_of(inspector.decision.groups))
    chosen, run = evenly(len(sources), MOST_PHOTOS).tolist(), inspector.config.run
    read = ahead(lambda i: load(sources[i], inspector.preprocessor), chosen, run.workers, run.batch_size)
    sample = []
    for i, photo in zip(chosen, progress(read, len(chosen), "synthetic defects"), strict=True):
        sample += [(tile, int(grouping.left_out[i])) for tile in photo.tiles[:1]]
    found = find_synthetic_defects(
        sample, inspector.evidence, inspector.decision, threshold=inspector.threshold, seed=inspector.config.run.seed
    )
    outlines = [one.outline for one in photos if one.outline is not None]
    odd = odd_outlines(np.stack(outlines), grouping.copies) if len(outlines) == len(photos) else ()
    names = tuple(inspector.training.names[i] for i in odd)
    return replace(basis, found=found, disturbed=grouping.disturbed, odd_outlines=names)


def warn_of_missed_parts(fingerprints: Sequence[Fingerprint], config: Config, warn: Warn) -> None:
    """Warn if the part was not found in more than a tenth of the photos."""
    missed = sum(not one.part_found for one in fingerprints)
    if config.preprocess.seeks_part and missed > _FEW_MISSED * len(fingerprints):
        switch = "enabled" if config.preprocess.enabled else "upright"
        warn(
            f"no part was found in {missed} of {len(fingerprints)} photos, which are judged whole: look at "
            f"train.py --preprocess-only; for photos without a background set preprocess.{switch}=false"
        )
