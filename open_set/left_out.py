"""Estimate how many unknown defects are rejected without any unknown image: leave out each known class in turn.

The classifier and the scores learn the other known classes, thresholds come from the validation images of those, and
the training and validation images of the left-out class play the unknown. Test images and unknown classes take no
part. Features are those of the network before it learned a known class: a fine-tuned network would have seen the class
that is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastener.evaluation.metrics import auroc
from fastener.open_set.classifier import Embedded
from fastener.open_set.rejection import Rejector
from fastener.open_set.scores import fit_scores
from fastener.open_set.settings import PARTS, SCORE_NAMES, RejectionSettings, ScoreName
from fastener.open_set.splits import TRAIN, VALIDATION, OpenSetSplit

# The score that is taken where no class can be left out, and among equals.
FALLBACK: ScoreName = "combined"
# A left-out class leaves at least two to tell apart.
_LEAST_KNOWN = 3
# Learns images (indices, labels), and embeds all images.
Learn = Callable[[np.ndarray, np.ndarray], Embedded]


def leave_classes_out(split: OpenSetSplit, learn: Learn, settings: RejectionSettings) -> list[dict[str, Any]]:
    """Measure each score on each known class that is left out, ready for JSON; none with fewer than three classes.

    An entry states the score, the left-out class, its images ``n``, how many of them are ``rejected``, which known
    class takes the others (``called``), and the AUROC against the validation images of the other classes.
    """
    if len(split.known) < _LEAST_KNOWN:
        return []
    train, validation = split.indices(TRAIN), split.indices(VALIDATION)
    rows = []
    for place, left_out in enumerate(split.known):
        taught, calm = train[split.truth[train] != place], validation[split.truth[validation] != place]
        strange = split.indices(TRAIN, VALIDATION)
        strange = strange[split.truth[strange] == place]
        labels = np.unique(split.truth[taught], return_inverse=True)[1]
        others = np.array([name for name in split.known if name != left_out])
        embedded = learn(taught, labels)
        fitted = fit_scores(embedded[taught], labels, settings)
        for name in SCORE_NAMES:
            rejector = Rejector.fit(PARTS[name], fitted, embedded[calm], settings.alpha)
            scores, known = rejector(embedded[strange]), rejector(embedded[calm])
            accepted = scores <= rejector.threshold
            both = np.concatenate([known, scores])
            rows.append(
                {
                    "score": name,
                    "left_out": left_out,
                    "n": len(strange),
                    "rejected": int((~accepted).sum()),
                    "called": dict(Counter(others[embedded[strange].classes[accepted]].tolist()).most_common()),
                    "auroc": round(auroc(np.arange(len(both)) >= len(known), both), 6),
                }
            )
    return rows


def choose_score(rows: Sequence[dict[str, Any]]) -> ScoreName:
    """Choose the score that rejects most of the left-out classes, each class counted once.

    Scores within one standard error of the best, over the classes, count as equals (Breiman et al. 1984, section
    3.4.3); the first in the order of ``SCORE_NAMES`` is taken.
    """
    if not rows:
        return FALLBACK
    shares = {name: [row["rejected"] / row["n"] for row in rows if row["score"] == name] for name in SCORE_NAMES}
    best = max(SCORE_NAMES, key=lambda name: float(np.mean(shares[name])))

    def is_equal(name: ScoreName) -> bool:
        behind = np.subtract(shares[best], shares[name])
        error = float(behind.std(ddof=1)) / len(behind) ** 0.5
        return bool(behind.mean() <= error)

    return next(name for name in SCORE_NAMES if is_equal(name))
