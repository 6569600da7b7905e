"""How well known classes are named and unknown ones noticed.

Conventions: ``known`` and ``unknown`` are unknown-ness scores float (n,), (m,), higher = more unknown; an image is
accepted when ``score <= threshold``. Predictions and truth are class names as strings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix, f1_score

from fastener.evaluation.metrics import auroc

UNKNOWN, NO_DEFECT = "unknown", "no_defect"


def fpr_at_tpr(known: npt.ArrayLike, unknown: npt.ArrayLike, tpr: float = 0.95) -> float:
    """Share of unknown images accepted by the lowest threshold that accepts at least ``tpr`` of the known ones.

    Known is the positive class here, as usual in this literature (Sun et al. 2022, section 4).
    """
    threshold = np.quantile(np.asarray(known, float), tpr, method="inverted_cdf")
    return float((np.asarray(unknown, float) <= threshold).mean())


def oscr(correct: npt.ArrayLike, known: npt.ArrayLike, unknown: npt.ArrayLike) -> float:
    """Area under the open-set classification rate curve: 1 = all known named correctly, and below all unknown.

    Dhamija et al. 2018, "Reducing Network Agnostophobia", section 3: for every threshold the share of known images that
    are accepted and named correctly, against the share of unknown ones accepted. ``correct`` bool (n,) says whether
    each known image is named correctly. The area equals the accuracy times the AUROC of the correctly named against
    the unknown, which is how it is computed; ties count half.
    """
    right = np.asarray(correct, bool)
    if not right.any():
        return 0.0
    scores = np.concatenate([np.asarray(known, float)[right], np.asarray(unknown, float)])
    return float(right.mean()) * auroc(np.arange(len(scores)) >= right.sum(), scores)


def open_set_f1(truth: Sequence[str], predicted: Sequence[str], classes: Sequence[str]) -> float:
    """Mean F1 of the known ``classes`` and "unknown"; any other prediction (no_defect) is a miss."""
    labels = [*classes, UNKNOWN]
    return float(f1_score(truth, predicted, labels=labels, average="macro", zero_division=0))


def confusion_table(truth: Sequence[str], predicted: Sequence[str], names: Sequence[str]) -> list[list[int]]:
    """Counts of images: a row a true class, a column a prediction, both in the order of ``names``."""
    table: list[list[int]] = confusion_matrix(truth, predicted, labels=list(names)).tolist()
    return table
