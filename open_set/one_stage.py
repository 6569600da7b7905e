"""Decide in one stage: the classifier names a class, and a score on its embedding tells whether to reject."""

from __future__ import annotations

import numpy as np

from fastener.open_set.classifier import Embedded
from fastener.open_set.decisions import Decisions
from fastener.open_set.metrics import UNKNOWN
from fastener.open_set.rejection import Rejector
from fastener.open_set.settings import SCORE_NAMES, RejectionSettings, ScoreName
from fastener.open_set.splits import TEST, TRAIN, VALIDATION, OpenSetSplit
from fastener.open_set.splits import UNKNOWN as UNKNOWN_ROLE

APPROACH = "one_stage"


def one_stage(split: OpenSetSplit, embedded: Embedded, settings: RejectionSettings) -> list[Decisions]:
    """Decide on the test images of a split, once with each score. ``embedded`` holds all images in their order."""
    return [decide(split, embedded, fit_rejector(split, embedded, (name,), settings=settings)) for name in SCORE_NAMES]


def fit_rejector(
    split: OpenSetSplit, embedded: Embedded, names: tuple[ScoreName, ...], *, settings: RejectionSettings
) -> Rejector:
    """Fit scores to the training images and thresholds to the validation images; test images take no part."""
    train, validation = split.indices(TRAIN), split.indices(VALIDATION)
    return Rejector.fit(names, embedded[train], split.truth[train], validation=embedded[validation], settings=settings)


def decide(split: OpenSetSplit, embedded: Embedded, rejector: Rejector) -> Decisions:
    """Decide on the test images, known and unknown, with one rejector."""
    tested = embedded[split.indices(TEST, UNKNOWN_ROLE)]
    named = np.array(split.known)[tested.classes]
    scores = rejector(tested)
    predicted = np.where(scores > rejector.threshold, UNKNOWN, named)
    return Decisions(
        approach=APPROACH,
        score="+".join(rejector.names),
        known=split.known,
        truth=true_names(split),
        named=tuple(named.tolist()),
        predicted=tuple(predicted.tolist()),
        scores=scores,
        threshold=rejector.threshold,
        alpha=rejector.alpha,
        cutoffs=rejector.cutoffs,
    )


def true_names(split: OpenSetSplit) -> tuple[str, ...]:
    """List the class of each test image, or "unknown"."""
    places = split.truth[split.indices(TEST, UNKNOWN_ROLE)]
    return tuple(UNKNOWN if place < 0 else split.known[place] for place in places)
