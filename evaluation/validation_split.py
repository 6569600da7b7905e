"""Carve a validation split out of labelled test images, for data sets that come without one."""

from __future__ import annotations

import numpy as np

from fastener.evaluation.measure import Measurement


def carve_validation(measurement: Measurement, share: float, seed: int) -> tuple[Measurement, Measurement]:
    """Split a measurement into validation images and the remaining test images.

    Copies of one photo stay together. Good photos and photos of each type of defect are drawn apart, ``share`` (0 to 1)
    of each kind, so that both parts have all kinds. Types of defects with a single photo are drawn together as one
    kind. The same seed draws the same photos.
    """
    rng = np.random.default_rng(seed)
    kinds: dict[str, list[int]] = {}
    for group in np.unique(measurement.groups):
        kinds.setdefault(_kind(measurement, group), []).append(int(group))
    rare = [kind for kind, members in kinds.items() if len(members) == 1 and kind != "good"]
    if len(rare) > 1:
        kinds["rare defects"] = sorted(kinds.pop(kind)[0] for kind in rare)
    chosen: list[int] = []
    for kind in sorted(kinds):
        members = kinds[kind]
        count = min(max(1, int(share * len(members) + 0.5)), len(members) - 1)
        chosen += rng.permutation(members)[:count].tolist()
    in_validation = np.isin(measurement.groups, chosen)
    return measurement.part(in_validation), measurement.part(~in_validation)


def _kind(measurement: Measurement, group: int) -> str:
    """Name the kind of a group of copies: its types of defects, or "good" with a mark that no type has."""
    images = [measurement.images[i] for i in np.flatnonzero(measurement.groups == group)]
    defects = sorted({"+".join(image.labels) for image in images if image.is_anomalous})
    return "defect " + "/".join(defects) if defects else "good"
