"""Choose a threshold on labelled images, and say what it is worth: beside the shipped one, and on new photos.

The figures of a threshold on the images that chose it flatter it. What new photos would show is estimated by
cross-fitting: the images fall into folds, copies of a photo into one; every fold is judged by the threshold that the
other folds choose, and the decisions of all folds are counted together.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from fastener.evaluation.measure import Measurement, spread_groups
from fastener.evaluation.metrics import Confusion, count_decisions, share_ci
from fastener.evaluation.thresholds import threshold_for_f1, threshold_for_false_alarms, threshold_for_recall

_MOST_FOLDS = 10


@dataclass(frozen=True)
class Objective:
    """Purpose of a threshold.

    Parameters
    ----------
    kind : {"f1", "false alarms", "recall"}
        The best F1; the lowest threshold that flags at most ``limit`` of the good images; or the highest one that
        flags at least ``limit`` of the defective images.
    limit : float, 0 to 1
        Share of images; of no account for "f1".
    """

    kind: Literal["f1", "false alarms", "recall"]
    limit: float = 0.0

    def __str__(self) -> str:
        names = {
            "f1": "the best F1",
            "false alarms": f"at most {self.limit:.1%} false alarms",
            "recall": f"at least {self.limit:.1%} recall",
        }
        return names[self.kind]

    def choose(self, labels: np.ndarray, scores: np.ndarray) -> float:
        """Choose a threshold. Raises ValueError if the labels (n,) do not allow it."""
        if self.kind == "f1":
            return threshold_for_f1(labels, scores)
        search = threshold_for_false_alarms if self.kind == "false alarms" else threshold_for_recall
        return search(labels, scores, self.limit)

    def for_part(self, whole: np.ndarray, part: np.ndarray) -> Objective:
        """Scale the limit down to labels of a part (m,) of the whole (n,), so that as many exceptions are allowed.

        Of 20 good images, 5 % allow one; of 18 they allow none, which would be another rule.
        """
        if self.kind == "f1":
            return self
        counted, inside = (labels if self.kind == "recall" else ~labels for labels in (whole, part))
        n, m = int(counted.sum()), int(inside.sum())
        if not n or not m:
            return self
        spared = 1 - self.limit if self.kind == "recall" else self.limit
        share = round(math.floor(spared * n + 1e-9) * m / n) / m
        return replace(self, limit=1 - share if self.kind == "recall" else share)

    def is_met(self, counts: Confusion) -> bool:
        """Tell whether decisions keep to the limit; the best F1 has none."""
        if self.kind == "false alarms":
            return (counts.false_positive_rate or 0.0) <= self.limit + 1e-9
        return self.kind == "f1" or (counts.recall or 0.0) >= self.limit - 1e-9

    def comes_closer(self, counts: Confusion, others: Confusion) -> bool:
        """Tell whether decisions come closer to the limit than ``others`` do, which miss it."""
        if self.kind == "false alarms":
            return (counts.false_positive_rate or 0.0) < (others.false_positive_rate or 0.0)
        return (counts.recall or 0.0) > (others.recall or 0.0)

    def gain(self, counts: Confusion) -> float:
        """Measure what a threshold is to make as large as possible within the limit."""
        if self.kind == "f1":
            return counts.f1 or 0.0
        return (counts.recall or 0.0) if self.kind == "false alarms" else -(counts.false_positive_rate or 0.0)


@dataclass(frozen=True, kw_only=True)
class ThresholdSearch:
    """Outcome of a search: the shipped threshold and the chosen one, with their decisions.

    Parameters
    ----------
    objective : Objective
        What was searched for.
    data : str
        Names the images that the threshold was chosen on, with their number.
    shipped, chosen : float
        The two thresholds.
    at_shipped, at_chosen : Confusion
        Their decisions on those images.
    expected : Confusion or None
        Decisions by cross-fitted thresholds; None where the images are too few.
    intervals : tuple
        95 % intervals of the shares of defects found and of false alarms, for each of the three in this order.
    kept : bool
        Whether the shipped threshold is the better choice.
    reason : str
        Why the one or the other was taken, as half a sentence.
    """

    objective: Objective
    data: str
    shipped: float
    chosen: float
    at_shipped: Confusion
    at_chosen: Confusion
    expected: Confusion | None
    intervals: tuple[tuple[list[float] | None, list[float] | None], ...]
    kept: bool
    reason: str

    @property
    def threshold(self) -> float:
        """The threshold that was taken."""
        return self.shipped if self.kept else self.chosen

    def source(self, shipped_source: str) -> str:
        """Say where the threshold comes from, for the stored model."""
        if self.kept:
            return f"{shipped_source}, kept after a search for {self.objective} on {self.data}"
        return f"{self.objective} on {self.data}"

    def lines(self) -> list[str]:
        """Compare both thresholds, line by line, and say which was taken and why."""
        good, bad = self.at_shipped.tn + self.at_shipped.fp, self.at_shipped.fn + self.at_shipped.tp
        names = (
            f"shipped threshold {self.shipped:.4g}",
            f"chosen threshold {self.chosen:.4g}",
            "chosen, expected on new photos (cross-fitted)",
        )
        counts = (self.at_shipped, self.at_chosen, self.expected)
        lines = [
            f"  {name}: {_described(one, limits)}" if one is not None else f"  {name}: too few photos to say"
            for name, one, limits in zip(names, counts, self.intervals, strict=True)
        ]
        taken = "kept the shipped threshold" if self.kept else "took the chosen threshold"
        return [
            f"threshold search for {self.objective} on {self.data}, {good} of them good and {bad} defective",
            *lines,
            f"  {taken}: {self.reason}",
        ]

    def state(self) -> dict[str, Any]:
        """Return plain values for metrics.json."""
        decisions = dict(
            zip(("shipped", "chosen", "expected"), (self.at_shipped, self.at_chosen, self.expected), strict=True)
        )
        return {
            "objective": str(self.objective),
            "data": self.data,
            "shipped_threshold": self.shipped,
            "chosen_threshold": self.chosen,
            "taken": "shipped" if self.kept else "chosen",
            "reason": self.reason,
            **{
                name: None if one is None else _figures(one, limits)
                for (name, one), limits in zip(decisions.items(), self.intervals, strict=True)
            },
        }


def search_threshold(
    measurement: Measurement, objective: Objective, *, shipped: float, data: str, seed: int = 0
) -> ThresholdSearch:
    """Choose a threshold on a measurement and compare it with the shipped one.

    Images without a part are flagged by every threshold: they choose none, and are counted. The shipped threshold is
    kept where both decide alike, and where it meets the objective and the chosen one is not expected to do better on
    new photos. Raises ValueError if the labels do not allow the search.
    """
    labels, scores, unjudged = measurement.labels, measurement.scores, measurement.unjudged
    chosen = objective.choose(labels[~unjudged], scores[~unjudged])
    at_shipped, at_chosen = (count_decisions(labels, unjudged | (scores > cut)) for cut in (shipped, chosen))
    crossed = cross_fitted(measurement, objective, seed)
    expected = None if crossed is None else count_decisions(labels, crossed)
    kept, reason = _choice(objective, at_shipped, at_chosen, expected)
    limits = tuple(
        (None, None)
        if one is None
        else (share_ci(one.tp, measurement.groups[labels]), share_ci(one.fp, measurement.groups[~labels]))
        for one in (at_shipped, at_chosen, expected)
    )
    return ThresholdSearch(
        objective=objective,
        data=data,
        shipped=shipped,
        chosen=chosen,
        at_shipped=at_shipped,
        at_chosen=at_chosen,
        expected=expected,
        intervals=limits,
        kept=kept,
        reason=reason,
    )


def cross_fitted(measurement: Measurement, objective: Objective, seed: int = 0) -> np.ndarray | None:
    """Judge every image by the threshold that is chosen on the other folds: bool (n,); None with too few photos."""
    labels, scores, unjudged, groups = measurement.labels, measurement.scores, measurement.unjudged, measurement.groups
    good = np.unique(groups[~labels])
    bad = np.setdiff1d(groups, good)
    folds = min([_MOST_FOLDS, *(len(one) for one in (good, bad) if len(one))])
    if folds < 2:
        return None
    fold = spread_groups(groups, (good, bad), folds, seed)
    flagged = unjudged.copy()
    for number in range(folds):
        others, inside = (fold != number) & ~unjudged, fold == number
        try:
            same = objective.for_part(labels[~unjudged], labels[others])
            flagged[inside] |= scores[inside] > same.choose(labels[others], scores[others])
        except ValueError:  # the other folds lack a class
            return None
    return flagged


def _choice(
    objective: Objective, shipped: Confusion, chosen: Confusion, expected: Confusion | None
) -> tuple[bool, str]:
    """Tell whether the shipped threshold is kept, and why."""
    if shipped == chosen:
        return True, "both decide alike on all these photos"
    change = _change(shipped, chosen)
    if not objective.is_met(shipped):
        figure = _missed(objective, shipped)
        still = (
            "" if objective.is_met(chosen) else "; no threshold meets it, as photos without a part are always flagged"
        )
        return False, f"the shipped one {figure}; for that, it {change}{still}{_caution(objective, expected, shipped)}"
    if objective.gain(chosen) <= objective.gain(shipped):
        return True, f"it meets the objective, and the chosen one brings nothing here: it {change}"
    if expected is not None and objective.gain(expected) <= objective.gain(shipped):
        return True, "it meets the objective, and on new photos the chosen one is not expected to do better"
    return False, f"it {change}{_caution(objective, expected)}"


def _missed(objective: Objective, counts: Confusion) -> str:
    if objective.kind == "false alarms":
        return f"flags {counts.fp} of {counts.fp + counts.tn} good photos, more than {objective.limit:.1%}"
    return f"finds {counts.tp} of {counts.tp + counts.fn} defects, fewer than {objective.limit:.1%}"


def _change(shipped: Confusion, chosen: Confusion) -> str:
    """Say what the chosen threshold changes on the images that chose it."""

    def step(before: int, after: int) -> str:
        return f"{abs(after - before)} {'more' if after > before else 'fewer'}" if after != before else "as many"

    return f"finds {step(shipped.tp, chosen.tp)} defects and flags {step(shipped.fp, chosen.fp)} good photos"


def _caution(objective: Objective, expected: Confusion | None, shipped: Confusion | None = None) -> str:
    if expected is None:
        return "; the photos are too few to say what new ones would show"
    if objective.is_met(expected):
        return ""
    if shipped is not None and not objective.comes_closer(expected, shipped):
        return (
            "; on new photos it is not expected to come closer to that than the shipped one, so keep the shipped one "
            "unless these very photos count"
        )
    rate = expected.false_positive_rate if objective.kind == "false alarms" else expected.recall
    name = "false alarms" if objective.kind == "false alarms" else "recall"
    return f"; expect {rate or 0.0:.1%} {name} on new photos, which misses the limit of {objective.limit:.1%}"


def _described(counts: Confusion, limits: tuple[list[float] | None, list[float] | None]) -> str:
    found = _share("defects found", counts.tp, counts.tp + counts.fn, limits[0])
    alarms = _share("good flagged", counts.fp, counts.fp + counts.tn, limits[1])
    return ", ".join([found, alarms] + ([] if counts.f1 is None else [f"F1 {counts.f1:.3f}"]))


def _share(name: str, count: int, total: int, limits: list[float] | None) -> str:
    if limits is None:
        return f"no {name.split()[0]} photos"
    return f"{count}/{total} {name} ({count / total:.0%}, 95 % interval {limits[0]:.0%} to {limits[1]:.0%})"


def _figures(counts: Confusion, limits: tuple[list[float] | None, list[float] | None]) -> dict[str, Any]:
    return {
        "confusion": asdict(counts),
        "recall": counts.recall,
        "recall_ci95": limits[0],
        "false_positive_rate": counts.false_positive_rate,
        "false_positive_rate_ci95": limits[1],
        "f1": counts.f1,
    }
