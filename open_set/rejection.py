"""Reject images as unknown by their scores, at a chosen share of wrongly rejected known images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fastener.models.calibration import Scale, conformal_threshold
from fastener.open_set.classifier import Embedded
from fastener.open_set.scores import OpenSetScore
from fastener.open_set.settings import PARTS, SingleScore

# The distance from the median to this quantile is about one standard deviation.
_UPPER_QUANTILE = 0.84
# Fewer validation images of a class do not say how its scores spread.
_LEAST_OF_CLASS = 8
_FOLDS = 5


@dataclass(frozen=True)
class Rejector:
    """Reject an image as unknown if its score, or the mean of several scores, is too high for its class.

    Classes spread differently: a distance that is usual among inclusions is far from every patch. So each score is put
    on a scale of its own for each class that the classifier may name: 0 is the median validation image that gets this
    name. Units are in proportion to the standard deviations of the classes, and such that a share of alpha / 2 of all
    validation images exceeds 1, so that no score drowns another.

    Parameters
    ----------
    names, scores
        One or several scores.
    scales
        For each score, its scale for each class.
    threshold
        Mean scaled score above which an image is rejected.
    alpha
        Share of known images that the threshold may reject. It exceeds the requested share if there are too few
        validation images.
    """

    names: tuple[SingleScore, ...]
    scores: tuple[OpenSetScore, ...]
    scales: tuple[tuple[Scale, ...], ...]
    threshold: float
    alpha: float

    @classmethod
    def fit(
        cls,
        names: Sequence[SingleScore],
        fitted: Mapping[SingleScore, OpenSetScore],
        validation: Embedded,
        alpha: float,
    ) -> Rejector:
        """Calibrate the named scores of ``fitted`` on known validation images, which no score was fitted to.

        The threshold comes from validation images on scales that were set by the others, so that it holds for new
        images.
        """
        raw = np.stack([fitted[name](validation) for name in names])
        classes, count = validation.classes, validation.logits.shape[1]
        joined = np.empty(len(classes))
        folds = min(_FOLDS, len(classes))
        for fold in range(folds):
            held_out = np.arange(len(classes)) % folds == fold
            others = ~held_out if folds > 1 else held_out
            scales = _scales(raw[:, others], classes[others], count, alpha)
            joined[held_out] = _mean_scaled(raw[:, held_out], classes[held_out], scales)
        threshold, reached = conformal_threshold(joined, alpha)
        scores = tuple(fitted[name] for name in names)
        return cls(tuple(names), scores, _scales(raw, classes, count, alpha), threshold, reached)

    def __call__(self, images: Embedded) -> np.ndarray:
        """Compute mean scaled scores (n,); an image above ``threshold`` is rejected."""
        return _mean_scaled(np.stack([score(images) for score in self.scores]), images.classes, self.scales)

    @property
    def name(self) -> str:
        """Name of the score in results."""
        return next((name for name, parts in PARTS.items() if parts == self.names), "+".join(self.names))

    def cutoffs(self, known: Sequence[str]) -> dict[str, float]:
        """Map each class in ``known`` to the raw score above which it rejects; empty for a mean of several scores."""
        if len(self.names) > 1:
            return {}
        pairs = zip(known, self.scales[0], strict=True)
        return {name: scale.median + self.threshold * scale.unit for name, scale in pairs}


def _scales(raw: np.ndarray, classes: np.ndarray, count: int, alpha: float) -> tuple[tuple[Scale, ...], ...]:
    """Fit a scale for each score (rows of ``raw``) and class; a class with too few images takes the scale of all."""
    return tuple(_of_score(values, classes, count, alpha) for values in raw)


def _of_score(values: np.ndarray, classes: np.ndarray, count: int, alpha: float) -> tuple[Scale, ...]:
    def of_class(one: int) -> Scale:
        own = values[classes == one]
        return Scale.fit(own if len(own) >= _LEAST_OF_CLASS else values, _UPPER_QUANTILE)

    scales = [of_class(one) for one in range(count)]
    scaled = [float(scales[one](value)) for value, one in zip(values, classes, strict=True)]
    tail = max(float(np.quantile(scaled, 1 - alpha / 2)), 1e-6)
    return tuple(Scale(scale.median, tail * scale.unit) for scale in scales)


def _mean_scaled(raw: np.ndarray, classes: np.ndarray, scales: Sequence[Sequence[Scale]]) -> np.ndarray:
    medians = np.array([[scale.median for scale in of_score] for of_score in scales])
    units = np.array([[scale.unit for scale in of_score] for of_score in scales])
    return np.asarray(((raw - medians[:, classes]) / units[:, classes]).mean(0))
