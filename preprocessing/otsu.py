"""Otsu's threshold: it separates two classes of values best."""

from __future__ import annotations

import numpy as np

_OTSU_BINS = 256


def otsu_threshold(values: np.ndarray) -> tuple[float, float]:
    """The threshold that best separates two classes of float ``values``, and its separability (Otsu, 1979).

    Maximises the variance between the classes (eq. 14 and 18) over the edges of 256 bins; the separability is
    its share in the whole variance (eta, eq. 12), 0 to 1. Equal values have separability 0.
    """
    values = values.ravel().astype(np.float64)
    if values.size == 0 or values.min() == values.max():
        return (float(values[0]) if values.size else 0.0), 0.0
    low, width = values.min(), np.ptp(values) / _OTSU_BINS
    bins = np.minimum((values - low) / width, _OTSU_BINS - 1).astype(np.intp)
    weight = np.cumsum(np.bincount(bins, minlength=_OTSU_BINS))[:-1] / values.size
    moment = np.cumsum(np.bincount(bins, weights=values, minlength=_OTSU_BINS))[:-1] / values.size
    between = (values.mean() * weight - moment) ** 2 / (weight * (1.0 - weight))
    best = int(np.argmax(between))
    return float(low + (best + 1) * width), float(between[best] / values.var())
