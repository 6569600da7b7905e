"""Decide in one stage: the classifier names a class, and a score on its embedding tells whether to reject."""

from __future__ import annotations

import numpy as np

from fastener.inspection.naming import UNKNOWN
from fastener.open_set.classifier import Embedded
from fastener.open_set.decisions import Decisions
from fastener.open_set.rejection import Rejector
from fastener.open_set.scores import fit_scores
from fastener.open_set.settings import PARTS, SCORE_NAMES, RejectionSettings, SingleScore
from fastener.open_set.splits import TEST, TRAIN, VALIDATION, OpenSetSplit
from fastener.open_set.splits import UNKNOWN as UNKNOWN_ROLE

APPROACH = "one_stage"
Rule = tuple[SingleScore, ...]


def one_stage(split: OpenSetSplit, embedded: Embedded, settings: RejectionSettings) -> list[Decisions]:
    """Decide on the test images of a split, once with each score. ``embedded`` holds all images in their order."""
    rules = [PARTS[name] for name in SCORE_NAMES]
    return [decide(split, embedded, one) for one in fit_rejectors(split, embedded, rules, settings)]


def fit_rejectors(
    split: OpenSetSplit, embedded: Embedded, rules: list[Rule], settings: RejectionSettings
) -> list[Rejector]:
    """Fit scores to the training images and thresholds to the validation images; test images take no part."""
    train, validation = split.indices(TRAIN), split.indices(VALIDATION)
    fitted = fit_scores(embedded[train], split.truth[train], settings)
    return [Rejector.fit(rule, fitted, embedded[validation], settings.alpha) for rule in rules]


def decide(split: OpenSetSplit, embedded: Embedded, rejector: Rejector) -> Decisions:
    """Decide on the test images, known and unknown, with one rejector."""
    places = split.indices(TEST, UNKNOWN_ROLE)
    tested = embedded[places]
    named = np.array(split.known)[tested.classes]
    scores = rejector(tested)
    predicted = np.where(scores > rejector.threshold, UNKNOWN, named)
    return Decisions(
        approach=APPROACH,
        score=rejector.name,
        known=split.known,
        truth=true_names(split),
        classes=tuple(split.names[places].tolist()),
        named=tuple(named.tolist()),
        predicted=tuple(predicted.tolist()),
        scores=scores,
        threshold=rejector.threshold,
        alpha=rejector.alpha,
        cutoffs=rejector.cutoffs(split.known),
    )


def true_names(split: OpenSetSplit) -> tuple[str, ...]:
    """List the class of each test image, or "unknown"."""
    places = split.truth[split.indices(TEST, UNKNOWN_ROLE)]
    return tuple(UNKNOWN if place < 0 else split.known[place] for place in places)
