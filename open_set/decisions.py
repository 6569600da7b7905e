"""What an approach says of every test image of a split, and how good that is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fastener.evaluation.metrics import auroc, average_precision, bootstrap_ci, proportion_ci
from fastener.open_set.metrics import NO_DEFECT, UNKNOWN, confusion_table, fpr_at_tpr, open_set_f1, oscr
from fastener.open_set.settings import CONFIDENCE

_DIGITS = 6


@dataclass(frozen=True)
class Decisions:
    """Verdicts on n test images, known and unknown, by one approach with one score.

    ``known`` are the names of the known classes. ``truth``, ``named`` and ``predicted`` (n,) are names: the true class
    or "unknown", the class that is named when nothing is rejected, and the verdict, which may be "unknown" too. Where
    the approach may find that there is no defect, ``named`` and ``predicted`` may be "no_defect". ``scores`` float64
    (n,) are higher for what looks more unknown; rejected is what exceeds ``threshold``, and ``cutoffs`` are the
    thresholds of the score's parts in their own units. ``alpha`` is the share of known images they stand for.
    """

    approach: str
    score: str
    known: tuple[str, ...]
    truth: tuple[str, ...]
    named: tuple[str, ...]
    predicted: tuple[str, ...]
    scores: np.ndarray
    threshold: float
    alpha: float
    cutoffs: dict[str, float]

    @property
    def is_unknown(self) -> np.ndarray:
        """Whether each image is of an unknown class: bool (n,)."""
        return np.array(self.truth) == UNKNOWN

    def state(self) -> dict[str, Any]:
        """Plain values that ``from_state`` takes back."""
        return {**asdict(self), "scores": self.scores.tolist()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Decisions:
        """The Decisions that ``state`` was taken from."""
        return cls(**{**state, "scores": np.array(state["scores"])})


def measure(decisions: Decisions, groups: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """All figures of one approach with one score, ready for JSON; rates are of images, intervals are 95 %.

    ``groups`` (n,) numbers copies of a photo alike, for the interval of AUROC. ``thresholds`` in the result are in the
    unit of each score (tau); ``kappa`` is the confidence below which the classifier rejects, None if it is not asked.
    """
    unknown, scores = decisions.is_unknown, decisions.scores
    truth, named, predicted = (np.array(names) for names in (decisions.truth, decisions.named, decisions.predicted))
    correct = (named == truth)[~unknown]
    accepted = int(np.isin(predicted[~unknown], decisions.known).sum())
    total = int((~unknown).sum())
    names = [*decisions.known, UNKNOWN, *([NO_DEFECT] if decisions.approach != "one_stage" else [])]
    low, high = bootstrap_ci(unknown, scores, groups=groups, seed=seed)
    unsure = decisions.cutoffs.get(CONFIDENCE)
    figures = {
        "closed_set_accuracy": float(correct.mean()),
        "closed_set_accuracy_ci95": list(proportion_ci(int(correct.sum()), total)),
        "unknown_auroc": auroc(unknown, scores),
        "unknown_auroc_ci95": [low, high],
        "unknown_aupr": average_precision(unknown, scores),
        "fpr95": fpr_at_tpr(scores[~unknown], scores[unknown]),
        "oscr": oscr(correct, scores[~unknown], scores[unknown]),
        "open_set_f1": open_set_f1(decisions.truth, decisions.predicted, decisions.known),
        "acceptance_known_test": accepted / total,
        "acceptance_known_test_ci95": list(proportion_ci(accepted, total)),
        "unknown_rejected": float((predicted[unknown] == UNKNOWN).mean()),
        "threshold": decisions.threshold,
        "thresholds": decisions.cutoffs,
        "kappa": None if unsure is None else math.exp(-unsure),
        "alpha": decisions.alpha,
    }
    return {
        "approach": decisions.approach,
        "score": decisions.score,
        "n_known": total,
        "n_unknown": int(unknown.sum()),
        **rounded(figures),
        "confusion": {"names": names, "table": confusion_table(decisions.truth, decisions.predicted, names)},
    }


def rounded(value: Any) -> Any:
    """Floats of nested lists and dicts to six digits, beyond which machines differ."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return round(value, _DIGITS) if isinstance(value, float) else value
