"""The kind of defect that a model sees in a photo, for models that know kinds of defects."""

from __future__ import annotations

from dataclasses import dataclass

NO_DEFECT, UNKNOWN = "no_defect", "unknown"


@dataclass(frozen=True)
class Naming:
    """Hold the kind of defect in one photo.

    Attributes
    ----------
    verdict : str
        A known kind, "unknown" or "no_defect".
    named : str
        The most likely known kind, whatever the verdict.
    confidence : float, 0 to 1
        Softmax probability of ``named``.
    score : float
        How unlike all known kinds the photo looks.
    threshold : float
        Score above which a defect is called unknown.
    """

    verdict: str
    named: str
    confidence: float
    score: float
    threshold: float
