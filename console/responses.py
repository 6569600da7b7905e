"""Build the JSON responses of the service from database rows and loaded models."""

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
    OddPhoto,
    RecentScore,
    Reference,
    ReviewedInspection,
    StoredInspection,
    SyntheticDefects,
    ThresholdBasis,
    ThresholdChange,
)
from fastener.console.service import Outcome
from fastener.console.tables import FAILED, InspectionRow, ReviewRow, ThresholdRow
from fastener.models.calibration import false_alarm_rate

# Fields of the response whose column in the database has another name, and fields that have no column.
_RENAMED = {"timestamp": "created_at", "anomaly_score": "score"}
_COMPUTED = {"is_anomaly", "has_heatmap"}


def reviewed(row: InspectionRow) -> ReviewedInspection:
    """Convert a row of the history."""
    return ReviewedInspection.model_validate(_values(row) | {"review": row.review})


def detail(row: InspectionRow, reviews: Sequence[ReviewRow], image_kept: bool) -> InspectionDetail:
    """Convert a row of the history, with all its reviews."""
    more = {"review": row.review, "reviews": reviews, "image_kept": image_kept}
    return InspectionDetail.model_validate(_values(row) | more)


def inspected(outcome: Outcome) -> Inspected:
    """Convert a new inspection, with its pictures in base64."""
    pictures = {"heatmap_base64": _base64(outcome.heatmap), "overlay_base64": _base64(outcome.overlay)}
    return Inspected.model_validate(_values(outcome.row) | pictures)


def recent(row: InspectionRow) -> RecentScore:
    """Convert a row of the history to its score and the verdict of its review."""
    return RecentScore(
        id=row.id,
        file_name=row.file_name,
        score=row.score,
        decision=row.decision,
        verdict=row.review.verdict if row.review else None,
    )


def category(name: str, model: ServedModel | None) -> Category:
    """Describe a model without loading it; ``model`` is None while it is not in memory."""
    if model is None:
        return Category(name=name, model_loaded=False, threshold=None, calibration=None)
    threshold = model.inspector.threshold
    return Category(name=name, model_loaded=True, threshold=threshold, calibration=calibration(model))


def calibration(model: ServedModel) -> Calibration | None:
    """Describe the healthy photos that set the model's threshold; None for a model that learned none."""
    healthy = np.sort(model.inspector.healthy_scores)
    if not len(healthy):
        return None
    low, high = model.threshold_range()
    return Calibration(
        photos=len(healthy),
        alpha=false_alarm_rate(healthy, model.inspector.threshold),
        median=float(np.median(healthy)),
        healthy_scores=healthy.tolist(),
        lowest_threshold=low,
        highest_threshold=high,
    )


def reference(model: ServedModel) -> Reference | None:
    """Summarise the scores at calibration by the same quantiles as the statistics of a day; None without scores."""
    healthy = model.inspector.healthy_scores
    if not len(healthy):
        return None
    low, median, high = np.quantile(healthy, [0.1, 0.5, 0.9]).tolist()
    return Reference(
        category=model.category,
        model_checksum=model.checksum,
        threshold=model.inspector.threshold,
        median_score=median,
        low_score=low,
        high_score=high,
    )


def model_info(model: ServedModel, changes: Sequence[ThresholdRow]) -> ModelInfo:
    """Describe a loaded model and every change of its threshold."""
    return ModelInfo(
        name=model.category,
        model_checksum=model.checksum,
        description=model.inspector.describe().splitlines(),
        evidence=list(model.inspector.evidence),
        kinds=list(model.inspector.kinds),
        threshold=model.inspector.threshold,
        own_threshold=model.own_threshold,
        calibration=calibration(model),
        threshold_basis=threshold_basis(model),
        threshold_changes=[ThresholdChange.model_validate(change) for change in changes],
    )


def threshold_basis(model: ServedModel) -> ThresholdBasis | None:
    """Describe what the threshold in the model file rests on; None for models of earlier versions."""
    report = model.inspector.report
    if report is None:
        return None
    synthetic = None
    if report.recall is not None:
        recall, low, high = report.recall
        drawn = sum(count for _, count in report.found.values())
        synthetic = SyntheticDefects(
            recall=recall, recall_low=low, recall_high=high, drawn=drawn, found=dict(report.found)
        )
    return ThresholdBasis(
        alpha=report.bound,
        photos_left_out=[photo.name for photo in report.left_out],
        oddest_photos=[OddPhoto.model_validate(photo) for photo in report.highest],
        synthetic_defects=synthetic,
        warnings=report.warnings(),
    )


def _values(row: InspectionRow) -> dict[str, object]:
    names = set(StoredInspection.model_fields) - _COMPUTED
    values = {name: getattr(row, _RENAMED.get(name, name)) for name in names}
    return values | {"is_anomaly": row.decision in FAILED, "has_heatmap": row.heatmap_checksum is not None}


def _base64(picture: bytes | None) -> str | None:
    return None if picture is None else b64encode(picture).decode()
