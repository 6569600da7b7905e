"""Hold the decisions of an approach on the test images of a split, and measure how good they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fastener.evaluation.metrics import auroc, average_precision, bootstrap_ci, proportion_ci
from fastener.inspection.naming import NO_DEFECT, UNKNOWN
from fastener.open_set.metrics import confusion_table, fpr_at_tpr, open_set_f1, oscr

_DIGITS = 6


@dataclass(frozen=True)
class Decisions:
    """Hold the verdicts of one approach with one score on n test images, known and unknown.

    Parameters
    ----------
    approach
        "one_stage", "two_stage" or "two_stage_plain".
    score
        Name of the score, or of two scores joined by "+".
    known
        Names of the known classes.
    truth
        True class of each image, or "unknown".
    classes
        Name of each image's own class, whether it is known or not.
    named
        Class of each image if none is rejected; "no_defect" if the approach finds no defect.
    predicted
        Verdict on each image: a class, "unknown" or "no_defect".
    scores
        How unknown each image looks, float64 (n,); higher is more unknown.
    threshold
        Score above which an image is rejected as unknown.
    alpha
        Share of known images that the threshold may reject.
    cutoffs
        Known class -> score above which an image that is given this name is rejected, in the score's own unit; empty
        where several scores decide.
    """

    approach: str
    score: str
    known: tuple[str, ...]
    truth: tuple[str, ...]
    classes: tuple[str, ...]
    named: tuple[str, ...]
    predicted: tuple[str, ...]
    scores: np.ndarray
    threshold: float
    alpha: float
    cutoffs: dict[str, float]

    @property
    def is_unknown(self) -> np.ndarray:
        """Tell which images are of an unknown class: bool (n,)."""
        return np.asarray(np.array(self.truth) == UNKNOWN)

    def state(self) -> dict[str, Any]:
        """Turn the decisions into plain values for ``from_state``."""
        return {**asdict(self), "scores": self.scores.tolist()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Decisions:
        """Restore decisions from ``state``."""
        return cls(**{**state, "scores": np.array(state["scores"])})


def measure(decisions: Decisions, groups: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Measure one approach with one score, ready for JSON. Rates are shares of images, intervals are 95 %.

    ``groups`` (n,) gives copies of a photo the same number, for the interval of AUROC. Figures about unknown images are
    None without any. ``thresholds`` are by known class, in the unit of the score.
    """
    unknown = decisions.is_unknown
    truth, named, predicted = (np.array(names) for names in (decisions.truth, decisions.named, decisions.predicted))
    correct = (named == truth)[~unknown]
    accepted = int(np.isin(predicted[~unknown], decisions.known).sum())
    total = int((~unknown).sum())
    names = [*decisions.known, UNKNOWN, *([NO_DEFECT] if decisions.approach != "one_stage" else [])]
    figures = {
        "closed_set_accuracy": float(correct.mean()),
        "closed_set_accuracy_ci95": list(proportion_ci(int(correct.sum()), total)),
        "acceptance_known_test": accepted / total,
        "acceptance_known_test_ci95": list(proportion_ci(accepted, total)),
        **_of_unknown(decisions, correct, groups, seed),
        "open_set_f1": open_set_f1(decisions.truth, decisions.predicted, decisions.known),
        "threshold": decisions.threshold,
        "thresholds": decisions.cutoffs,
        "alpha": decisions.alpha,
    }
    return {
        "approach": decisions.approach,
        "score": decisions.score,
        "n_known": total,
        "n_unknown": int(unknown.sum()),
        **rounded(figures),
        "classes": [rounded(_of_class(decisions, name)) for name in dict.fromkeys(decisions.classes)],
        "confusion": {"names": names, "table": confusion_table(decisions.truth, decisions.predicted, names)},
    }


def _of_unknown(decisions: Decisions, correct: np.ndarray, groups: np.ndarray, seed: int) -> dict[str, Any]:
    unknown, scores = decisions.is_unknown, decisions.scores
    count = int(unknown.sum())
    if not count:
        keys = ("rejected", "rejected_ci95", "auroc", "auroc_ci95", "aupr")
        return dict.fromkeys([*(f"unknown_{key}" for key in keys), "fpr95", "oscr"])
    rejected = int((np.array(decisions.predicted)[unknown] == UNKNOWN).sum())
    return {
        "unknown_rejected": rejected / count,
        "unknown_rejected_ci95": list(proportion_ci(rejected, count)),
        "unknown_auroc": auroc(unknown, scores),
        "unknown_auroc_ci95": list(bootstrap_ci(unknown, scores, groups=groups, seed=seed)),
        "unknown_aupr": average_precision(unknown, scores),
        "fpr95": fpr_at_tpr(scores[~unknown], scores[unknown]),
        "oscr": oscr(correct, scores[~unknown], scores[unknown]),
    }


def _of_class(decisions: Decisions, name: str) -> dict[str, Any]:
    """Count what becomes of the test images of one class: how many are rejected, and what the others are called."""
    verdicts = Counter(np.array(decisions.predicted)[np.array(decisions.classes) == name].tolist())
    total, rejected = verdicts.total(), verdicts.pop(UNKNOWN, 0)
    return {
        "class": name,
        "known": name in decisions.known,
        "n": total,
        "rejected": rejected,
        "rejected_share": rejected / total,
        "rejected_ci95": list(proportion_ci(rejected, total)),
        "called": dict(verdicts.most_common()),
    }


def rounded(value: Any) -> Any:
    """Round the floats of nested lists and dicts to six digits; machines differ in the further digits."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return round(value, _DIGITS) if isinstance(value, float) else value
