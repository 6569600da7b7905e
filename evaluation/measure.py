"""Measure an inspector on labelled images, and never on a photo that it was trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fastener.common.errors import UserError
from fastener.config import Config
from fastener.datasets.labelled_image import LabelledImage
from fastener.datasets.near_copies import copy_groups
from fastener.evaluation.metrics import auroc, bootstrap_ci, image_metrics, share_ci
from fastener.inspection.inspector import Inspector
from fastener.inspection.reading import Fingerprint, ahead, fingerprint
from fastener.inspection.result import Failure, Inspection
from fastener.models.progress import Progress, no_progress


@dataclass(frozen=True)
class Measurement:
    """Labelled images with their inspections.

    Parameters
    ----------
    images, inspections : tuple, n
        The images and their results, in the same order.
    groups : ndarray of int, (n,)
        Images with the same number are copies of one photo.
    seen : tuple of LabelledImage
        Images that were left out because the model was trained on them or on copies of them.
    failures : tuple of Failure
        Images that could not be read.
    """

    images: tuple[LabelledImage, ...]
    inspections: tuple[Inspection, ...]
    groups: np.ndarray
    seen: tuple[LabelledImage, ...] = ()
    failures: tuple[Failure, ...] = ()

    @property
    def labels(self) -> np.ndarray:
        """Labels, bool (n,): True for an anomalous image."""
        return np.array([image.is_anomalous for image in self.images], bool)

    @property
    def scores(self) -> np.ndarray:
        """Joined scores, float64 (n,)."""
        return np.array([inspection.score for inspection in self.inspections], float)

    @property
    def thresholds(self) -> np.ndarray:
        """Threshold that each image was judged by, float64 (n,); each fold of cross-validation has its own."""
        return np.array([inspection.threshold for inspection in self.inspections], float)

    @property
    def flagged(self) -> np.ndarray:
        """Verdicts, bool (n,): True for an image that does not pass, such as one that shows no part."""
        return np.array([inspection.is_anomalous for inspection in self.inspections], bool)

    @property
    def unjudged(self) -> np.ndarray:
        """Images that show no part to judge, bool (n,); they count as flagged."""
        return np.array([bool(inspection.problem) for inspection in self.inspections], bool)

    @property
    def defects(self) -> tuple[str, ...]:
        """Types of defects, sorted: labels of anomalous images that no good image has.

        A photo of several parts has labels of the healthy ones, too.
        """
        of_good, of_anomalous = (
            {label for image in self.images if image.is_anomalous == anomalous for label in image.labels}
            for anomalous in (False, True)
        )
        return tuple(sorted(of_anomalous - of_good))

    def has_defect(self, name: str) -> np.ndarray:
        """Tell which images are anomalous and have this type of defect, bool (n,)."""
        return np.array([image.is_anomalous and name in image.labels for image in self.images], bool)

    def part(self, chosen: np.ndarray) -> Measurement:
        """Take the chosen images, bool (n,) or indices, with their inspections."""
        indices = np.arange(len(self.images))[chosen]
        return replace(
            self,
            images=tuple(self.images[i] for i in indices),
            inspections=tuple(self.inspections[i] for i in indices),
            groups=self.groups[indices],
        )

    def judged_by(self, threshold: float) -> Measurement:
        """Judge the same scores by another threshold."""
        inspections = tuple(replace(one, threshold=threshold) for one in self.inspections)
        return replace(self, inspections=inspections)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of evidence that judged every image; models of several folds can differ in them."""
        first, *others = [inspection.evidence for inspection in self.inspections] or [{}]
        return tuple(kind for kind in first if all(kind in other for other in others))

    def evidence_scores(self, kind: str) -> np.ndarray:
        """Return the raw scores of one kind of evidence, float64 (n,)."""
        return np.array([inspection.evidence[kind].score for inspection in self.inspections], float)


def measure(inspector: Inspector, images: Sequence[LabelledImage], progress: Progress = no_progress) -> Measurement:
    """Inspect all images that the model was not trained on."""
    photos, failures = _fingerprints(images, inspector.config, progress)
    readable = [image for image, photo in zip(images, photos, strict=True) if photo is not None]
    known = inspector.knows([photo for photo in photos if photo is not None])
    fresh = [image for image, seen in zip(readable, known, strict=True) if not seen]
    signatures = [p.signature for p in photos if p is not None]
    groups = copy_groups(np.array(signatures))[~known] if signatures else np.empty(0, int)
    results = list(progress(inspector.stream([image.path for image in fresh]), len(fresh), "inspecting"))
    seen = tuple(image for image, was in zip(readable, known, strict=True) if was)
    return _measurement(fresh, results, groups, seen, failures)


def cross_validate(
    images: Sequence[LabelledImage],
    config: Config,
    folds: int,
    *,
    weights: Path | None = None,
    progress: Progress = no_progress,
    warn: Callable[[str], None] = lambda line: None,
) -> Measurement:
    """Fit one model for each fold on the healthy images of the other folds, and inspect the fold with it.

    So every image is scored once, by a model that was trained neither on it nor on a copy of it.

    Raises UserError if there are too few different healthy photos.
    """
    photos, failures = _fingerprints(images, config, progress)
    readable = [image for image, photo in zip(images, photos, strict=True) if photo is not None]
    if not readable:
        raise UserError(f"--cross-validate {folds}: none of the {len(images)} images can be read")
    groups = copy_groups(np.stack([photo.signature for photo in photos if photo is not None]))
    healthy = np.array([not image.is_anomalous for image in readable])
    fold = assign_folds(groups, healthy, folds, config.run.seed)
    results: dict[int, Inspection | Failure] = {}
    for number in range(folds):
        train = [readable[i].path for i in np.flatnonzero(healthy & (fold != number))]
        held_out = np.flatnonzero(fold == number)
        inspector = Inspector.fit(train, config, weights=weights, warn=warn if number == 0 else lambda line: None)
        stream = inspector.stream([readable[i].path for i in held_out])
        label = f"fold {number + 1} of {folds}"
        results.update(zip(held_out, progress(stream, len(held_out), label), strict=True))
    return _measurement(readable, [results[i] for i in range(len(readable))], groups, (), failures)


def groups_of_copies(images: Sequence[LabelledImage], config: Config, progress: Progress = no_progress) -> np.ndarray:
    """Number the photo that each image is a copy of, int64 (n,); an image that cannot be read is one of its own."""
    photos, _ = _fingerprints(images, config, progress)
    groups = np.full(len(images), -1)
    readable = np.array([photo is not None for photo in photos], bool)
    if readable.any():
        groups[readable] = copy_groups(np.stack([photo.signature for photo in photos if photo is not None]))
    groups[~readable] = groups.max(initial=-1) + 1 + np.arange(int((~readable).sum()))
    return groups


def assign_folds(groups: np.ndarray, healthy: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Assign each image to a fold from 0 to ``folds`` - 1.

    Copies stay together. Groups with healthy images are spread evenly over the folds, and so are the other groups.

    Raises UserError if a fold would leave fewer than two groups with healthy images to learn from.
    """
    good = np.unique(groups[healthy])
    if len(good) < folds or len(good) - -(-len(good) // folds) < 2:
        raise UserError(
            f"--cross-validate {folds}: only {len(good)} different healthy photos; use fewer folds or more photos"
        )
    return spread_groups(groups, (good, np.setdiff1d(groups, good)), folds, seed)


def spread_groups(groups: np.ndarray, strata: Iterable[np.ndarray], folds: int, seed: int) -> np.ndarray:
    """Assign each image, by its group (n,), to a fold; the groups of each stratum are spread evenly over the folds."""
    rng = np.random.default_rng(seed)
    fold_of_group = np.empty(groups.max() + 1, int)
    for members in strata:
        fold_of_group[rng.permutation(members)] = np.arange(len(members)) % folds
    return np.asarray(fold_of_group[groups])


def summarise(measurement: Measurement, seed: int = 0) -> dict[str, Any]:
    """Compute the content of metrics.json for one measurement, with figures by kind of evidence and type of defect.

    An image that shows no part counts as flagged, as it does not pass; ``n_no_part`` says how many there are.
    """
    labels, groups = measurement.labels, measurement.groups
    result: dict[str, Any] = dict(
        image_metrics(
            labels, measurement.scores, measurement.thresholds, flagged=measurement.flagged, groups=groups, seed=seed
        )
    )
    result["n_no_part"] = int(measurement.unjudged.sum())
    result["n_excluded_seen_in_training"] = len(measurement.seen)
    result["n_failed"] = len(measurement.failures)
    thresholds = np.unique(measurement.thresholds)
    result["threshold"] = float(thresholds[0]) if len(thresholds) == 1 else None
    result["evidence"] = {}
    if labels.any() and not labels.all():
        for kind in measurement.kinds:
            scores = measurement.evidence_scores(kind)
            interval = bootstrap_ci(labels, scores, seed=seed, groups=groups)
            result["evidence"][kind] = {"image_auroc": auroc(labels, scores), "image_auroc_ci95": list(interval)}
    result["per_defect"] = {name: _of_defect(measurement, name, seed) for name in measurement.defects}
    return result


def _of_defect(measurement: Measurement, name: str, seed: int) -> dict[str, Any]:
    """Compute the figures of one type of defect against all good images."""
    of_type = measurement.has_defect(name)
    against_good = measurement.part(of_type | ~measurement.labels)
    labels, scores, groups = against_good.labels, against_good.scores, against_good.groups
    found = int(measurement.flagged[of_type].sum())
    two_classes = not labels.all()
    return {
        "n": int(of_type.sum()),
        "n_found": found,
        "recall": found / int(of_type.sum()),
        "recall_ci95": share_ci(found, measurement.groups[of_type]),
        "image_auroc": auroc(labels, scores) if two_classes else None,
        "image_auroc_ci95": list(bootstrap_ci(labels, scores, seed=seed, groups=groups)) if two_classes else None,
        "mean_score": float(measurement.scores[of_type].mean()),
    }


def _measurement(
    images: Sequence[LabelledImage],
    results: Sequence[Inspection | Failure],
    groups: np.ndarray,
    seen: tuple[LabelledImage, ...],
    failures: Sequence[Failure],
) -> Measurement:
    """Separate inspections, with their images and groups, from failures: a file can vanish during the run."""
    scored = {i: result for i, result in enumerate(results) if isinstance(result, Inspection)}
    failed = [result for result in results if isinstance(result, Failure)]
    return Measurement(
        tuple(images[i] for i in scored), tuple(scored.values()), groups[list(scored)], seen, (*failures, *failed)
    )


def _fingerprints(
    images: Sequence[LabelledImage], config: Config, progress: Progress
) -> tuple[list[Fingerprint | None], list[Failure]]:
    def read(image: LabelledImage) -> Fingerprint | Failure:
        try:
            return fingerprint(image.path)
        except UserError as error:
            return Failure(image.path, str(error))

    run = config.run
    found = list(progress(ahead(read, images, run.workers, 2 * run.batch_size), len(images), "looking for copies"))
    failures = [one for one in found if isinstance(one, Failure)]
    return [None if isinstance(one, Failure) else one for one in found], failures
