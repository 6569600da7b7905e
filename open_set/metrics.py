"""Measure how well known classes are named and unknown classes are noticed.

Conventions: ``known`` are scores of known images, float (n,), and ``unknown`` of unknown images, float (m,). A higher
score is more unknown. An image is accepted if ``score <= threshold``. Predictions and truth are class names.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix, f1_score

from fastener.evaluation.metrics import auroc
from fastener.inspection.naming import UNKNOWN


def fpr_at_tpr(known: npt.ArrayLike, unknown: npt.ArrayLike, tpr: float = 0.95) -> float:
    """Compute the share of unknown images accepted by the lowest threshold that accepts ``tpr`` of the known images.

    Known is the positive class, as usual in the literature (Sun et al. 2022, section 4).
    """
    threshold = np.quantile(np.asarray(known, float), tpr, method="inverted_cdf")
    return float((np.asarray(unknown, float) <= threshold).mean())


def oscr(correct: npt.ArrayLike, known: npt.ArrayLike, unknown: npt.ArrayLike) -> float:
    """Compute the area under the open-set classification rate curve.

    Dhamija et al. 2018, "Reducing Network Agnostophobia", section 3: the curve shows, for every threshold, the share of
    known images that are accepted and named correctly against the share of unknown images that are accepted. The area
    is 1 if all known images are named correctly and score below all unknown images. ``correct`` bool (n,) tells which
    known images are named correctly. The area is computed as the accuracy times the AUROC of the correctly named
    against the unknown images, which is the same; ties count half.
    """
    right = np.asarray(correct, bool)
    if not right.any():
        return 0.0
    scores = np.concatenate([np.asarray(known, float)[right], np.asarray(unknown, float)])
    return float(right.mean()) * auroc(np.arange(len(scores)) >= right.sum(), scores)


def open_set_f1(truth: Sequence[str], predicted: Sequence[str], classes: Sequence[str]) -> float:
    """Compute the mean F1 of the known ``classes`` and "unknown"; any other prediction (no_defect) is a miss."""
    labels = [*classes, UNKNOWN]
    return float(f1_score(truth, predicted, labels=labels, average="macro", zero_division=0))


def confusion_table(truth: Sequence[str], predicted: Sequence[str], names: Sequence[str]) -> list[list[int]]:
    """Count images by true class (rows) and prediction (columns), both in the order of ``names``."""
    table: list[list[int]] = confusion_matrix(truth, predicted, labels=list(names)).tolist()
    return table
