"""Measure an inspector on labelled images, and never on a photo that it was trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastener.common.errors import UserError
from fastener.config import Config
from fastener.datasets.labelled_image import LabelledImage
from fastener.datasets.near_copies import copy_groups
from fastener.evaluation.metrics import auroc, bootstrap_ci, image_metrics
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


def assign_folds(groups: np.ndarray, healthy: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Assign each image to a fold from 0 to ``folds`` - 1.

    Copies stay together. Groups with healthy images are spread evenly over the folds, and so are the other groups.

    Raises UserError if a fold would leave fewer than two groups with healthy images to learn from.
    """
    rng = np.random.default_rng(seed)
    fold_of_group = np.empty(groups.max() + 1, int)
    good = np.unique(groups[healthy])
    if len(good) < folds or len(good) - -(-len(good) // folds) < 2:
        raise UserError(
            f"--cross-validate {folds}: only {len(good)} different healthy photos; use fewer folds or more photos"
        )
    for members in (good, np.setdiff1d(groups, good)):
        fold_of_group[rng.permutation(members)] = np.arange(len(members)) % folds
    return np.asarray(fold_of_group[groups])


def summarise(measurement: Measurement, seed: int = 0) -> dict[str, Any]:
    """Compute the content of metrics.json for one measurement, the AUROC of each kind of evidence included."""
    labels, groups = measurement.labels, measurement.groups
    result: dict[str, Any] = dict(
        image_metrics(labels, measurement.scores, measurement.thresholds, groups=groups, seed=seed)
    )
    result["n_excluded_seen_in_training"] = len(measurement.seen)
    result["n_failed"] = len(measurement.failures)
    thresholds = np.unique(measurement.thresholds)
    result["threshold"] = float(thresholds[0]) if len(thresholds) == 1 else None
    result["evidence"] = {}
    if labels.any() and not labels.all():
        for kind in measurement.inspections[0].evidence:
            scores = measurement.evidence_scores(kind)
            interval = bootstrap_ci(labels, scores, seed=seed, groups=groups)
            result["evidence"][kind] = {"image_auroc": auroc(labels, scores), "image_auroc_ci95": list(interval)}
    return result


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
