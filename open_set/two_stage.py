"""Decide in two stages: PatchCore tells defect from no defect, then a classifier names the class or rejects.

The classifier rejects by a score on the embedding and, if the settings say so, by the mean of that score and of the
classifier's doubt. NEU has no defect-free images, so "no_defect" is always wrong there.
That is why two cascades are reported: the plain cascade, and a cascade that ignores the first stage.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastener.inspection.naming import NO_DEFECT
from fastener.open_set.classifier import Embedded
from fastener.open_set.decisions import Decisions
from fastener.open_set.one_stage import Rule, decide, fit_rejectors
from fastener.open_set.settings import CONFIDENCE, PARTS, SCORE_NAMES, RejectionSettings, ScoreName
from fastener.open_set.splits import TEST, UNKNOWN, OpenSetSplit

IGNORING, PLAIN = "two_stage", "two_stage_plain"


def two_stage(
    split: OpenSetSplit,
    embedded: Embedded,
    *,
    gate_scores: np.ndarray,
    gate_threshold: float,
    settings: RejectionSettings,
) -> list[Decisions]:
    """Decide on the test images of a split, with each score in both modes.

    ``embedded`` and PatchCore's ``gate_scores`` (n,) hold all images in their order.
    """
    passed = gate_scores[split.indices(TEST, UNKNOWN)] <= gate_threshold
    decisions = []
    rules = [rejection_rule(name, settings.use_confidence) for name in SCORE_NAMES]
    for rejector in fit_rejectors(split, embedded, rules, settings):
        ignoring = replace(decide(split, embedded, rejector), approach=IGNORING)
        decisions += [ignoring, with_gate(ignoring, passed)]
    return decisions


def rejection_rule(score: ScoreName, use_confidence: bool) -> Rule:
    """List the single scores whose mean rejects in the cascade."""
    parts = PARTS[score]
    return (*parts, CONFIDENCE) if use_confidence and CONFIDENCE not in parts else parts


def with_gate(decisions: Decisions, passed: np.ndarray) -> Decisions:
    """Turn decisions into the plain cascade: an image that PatchCore ``passed``, bool (n,), has no defect.

    Such an image can no longer be called unknown, so its score is set below all other scores.
    """
    lowest = float(decisions.scores.min()) - 1.0
    return replace(
        decisions,
        approach=PLAIN,
        named=tuple(np.where(passed, NO_DEFECT, decisions.named).tolist()),
        predicted=tuple(np.where(passed, NO_DEFECT, decisions.predicted).tolist()),
        scores=np.where(passed, lowest, decisions.scores),
    )
