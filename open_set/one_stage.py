"""One stage: the classifier names a class, and a distance in its embedding says whether to believe it."""

from __future__ import annotations

import numpy as np

from fastener.open_set.classifier import Embedded
from fastener.open_set.decisions import Decisions
from fastener.open_set.metrics import UNKNOWN
from fastener.open_set.rejection import Rejector
from fastener.open_set.settings import SCORE_NAMES, RejectionSettings
from fastener.open_set.splits import TEST, TRAIN, VALIDATION, Split
from fastener.open_set.splits import UNKNOWN as UNKNOWN_ROLE

APPROACH = "one_stage"


def one_stage(split: Split, embedded: Embedded, settings: RejectionSettings) -> list[Decisions]:
    """Decisions on the split's test images, one for each score. ``embedded`` holds all images, by their place."""
    return [decide(split, embedded, fit_rejector(split, embedded, (name,), settings)) for name in SCORE_NAMES]


def fit_rejector(split: Split, embedded: Embedded, names: tuple, settings: RejectionSettings) -> Rejector:
    """Scores learn from the training images, thresholds from the validation images; test images are not looked at."""
    train, validation = split.indices(TRAIN), split.indices(VALIDATION)
    return Rejector.fit(names, embedded[train], split.truth[train], embedded[validation], settings)


def decide(split: Split, embedded: Embedded, rejector: Rejector) -> Decisions:
    """Verdicts on the test images, known and unknown."""
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


def true_names(split: Split) -> tuple[str, ...]:
    """Class, or "unknown", of each test image."""
    places = split.truth[split.indices(TEST, UNKNOWN_ROLE)]
    return tuple(UNKNOWN if place < 0 else split.known[place] for place in places)
