"""From what the service knows to what it answers."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence

import numpy as np

from fastener.console.catalogue import ServedModel
from fastener.console.schemas import (
    Calibration,
    Category,
    Inspected,
    InspectionDetail,
    ModelInfo,
    Reference,
    ReviewedInspection,
    StoredInspection,
    ThresholdChange,
)
from fastener.console.service import Outcome
from fastener.console.tables import FAIL, InspectionRow, ReviewRow, ThresholdRow
from fastener.models.calibration import false_alarm_rate

_RENAMED = {"timestamp": "created_at", "anomaly_score": "score"}
_MADE = {"is_anomaly"}


def reviewed(row: InspectionRow) -> ReviewedInspection:
    """A row of the history."""
    return ReviewedInspection.model_validate(_values(row) | {"review": row.review})


def detail(row: InspectionRow, reviews: Sequence[ReviewRow], image_kept: bool) -> InspectionDetail:
    """A row of the history with all that was said about it."""
    more = {"review": row.review, "reviews": reviews, "image_kept": image_kept}
    return InspectionDetail.model_validate(_values(row) | more)


def inspected(outcome: Outcome) -> Inspected:
    """A new inspection with its pictures."""
    pictures = {"heatmap_base64": _base64(outcome.heatmap), "overlay_base64": _base64(outcome.overlay)}
    return Inspected.model_validate(_values(outcome.row) | pictures)


def category(name: str, model: ServedModel | None) -> Category:
    """A model, as far as it is known without loading it."""
    if model is None:
        return Category(name=name, model_loaded=False, threshold=None, calibration=None)
    threshold = model.inspector.threshold
    return Category(name=name, model_loaded=True, threshold=threshold, calibration=calibration(model))


def calibration(model: ServedModel) -> Calibration:
    """What the model's threshold rests on."""
    healthy = np.sort(model.inspector.decision.healthy_joined)
    return Calibration(
        photos=len(healthy),
        alpha=false_alarm_rate(healthy, model.inspector.threshold),
        median=float(np.median(healthy)),
        healthy_scores=healthy.tolist(),
    )


def reference(model: ServedModel) -> Reference:
    """Scores at calibration, as statistics of a day have them."""
    low, median, high = np.quantile(model.inspector.decision.healthy_joined, [0.1, 0.5, 0.9]).tolist()
    return Reference(
        category=model.category,
        model_checksum=model.checksum,
        threshold=model.inspector.threshold,
        median_score=median,
        low_score=low,
        high_score=high,
    )


def model_info(model: ServedModel, changes: Sequence[ThresholdRow]) -> ModelInfo:
    """All about a loaded model."""
    return ModelInfo(
        name=model.category,
        model_checksum=model.checksum,
        description=model.inspector.describe().splitlines(),
        evidence=list(model.inspector.evidence),
        threshold=model.inspector.threshold,
        own_threshold=model.own_threshold,
        calibration=calibration(model),
        threshold_changes=[ThresholdChange.model_validate(change) for change in changes],
    )


def _values(row: InspectionRow) -> dict[str, object]:
    names = set(StoredInspection.model_fields) - _MADE
    values = {name: getattr(row, _RENAMED.get(name, name)) for name in names}
    return values | {"is_anomaly": row.decision == FAIL}


def _base64(picture: bytes | None) -> str | None:
    return None if picture is None else b64encode(picture).decode()
