"""Two stages: PatchCore decides between defect and no defect, then a classifier names the class or rejects.

The classifier rejects where the embedding is too far from the known classes (tau) or, if so set, where it is unsure
between them (kappa). NEU has no defect-free images, so that "no_defect" is always wrong there: beside the plain
cascade, one that is told so and ignores the first stage is reported.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastener.open_set.classifier import Embedded
from fastener.open_set.decisions import Decisions
from fastener.open_set.metrics import NO_DEFECT
from fastener.open_set.one_stage import decide, fit_rejector
from fastener.open_set.settings import CONFIDENCE, SCORE_NAMES, RejectionSettings, ScoreName
from fastener.open_set.splits import TEST, UNKNOWN, Split

IGNORING, PLAIN = "two_stage", "two_stage_plain"


def two_stage(
    split: Split, embedded: Embedded, gate_scores: np.ndarray, gate_threshold: float, settings: RejectionSettings
) -> list[Decisions]:
    """Decisions on the split's test images, for each score in both modes.

    ``embedded`` and ``gate_scores`` (n,), PatchCore's, hold all images, by their place.
    """
    passed = gate_scores[split.indices(TEST, UNKNOWN)] <= gate_threshold
    decisions = []
    for names in rejection_rules(settings.use_confidence):
        ignoring = replace(decide(split, embedded, fit_rejector(split, embedded, names, settings)), approach=IGNORING)
        decisions += [ignoring, with_gate(ignoring, passed)]
    return decisions


def rejection_rules(use_confidence: bool) -> list[tuple[ScoreName, ...]]:
    """The scores that reject together: each distance alone, or with the classifier's confidence."""
    return [(name, CONFIDENCE) if use_confidence and name != CONFIDENCE else (name,) for name in SCORE_NAMES]


def with_gate(decisions: Decisions, passed: np.ndarray) -> Decisions:
    """The plain cascade: what PatchCore ``passed``, bool (n,), has no defect, whatever the classifier says.

    Such an image can no longer be found unknown: it ranks below all others.
    """
    lowest = float(decisions.scores.min()) - 1.0
    return replace(
        decisions,
        approach=PLAIN,
        named=tuple(np.where(passed, NO_DEFECT, decisions.named).tolist()),
        predicted=tuple(np.where(passed, NO_DEFECT, decisions.predicted).tolist()),
        scores=np.where(passed, lowest, decisions.scores),
    )
