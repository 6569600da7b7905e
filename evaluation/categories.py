"""Measure a model on one category: figures of images, of pixels and of each type of defect."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from fastener.common.errors import UserError
from fastener.datasets.dataset import Category
from fastener.datasets.labelled_image import LabelledImage
from fastener.datasets.masks import LOOKED_FOR
from fastener.evaluation.measure import Measurement, groups_of_copies, summarise
from fastener.evaluation.metrics import count_decisions
from fastener.evaluation.pixel_metrics import METRIC_NAMES, PixelMetrics
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Failure, Inspection
from fastener.models.progress import Progress, no_progress


def measure_category(
    inspector: Inspector, category: Category, progress: Progress = no_progress, *, find_copies: bool = False
) -> tuple[Measurement, float]:
    """Inspect all test images of a category; return the measurement and the seconds per image, reading included.

    ``find_copies`` puts copies of one photo into one group, for which all images are read once more. Raises UserError
    if the category has no test images.
    """
    if not category.test:
        raise UserError(f"{category.name} has no test images: it can be trained and used, not evaluated")
    start = time.perf_counter()
    stream = inspector.stream([image.path for image in category.test])
    results = list(progress(stream, len(category.test), f"inspecting {category.name}"))
    seconds = (time.perf_counter() - start) / len(results)
    pairs = list(zip(category.test, results, strict=True))
    images = tuple(image for image, result in pairs if isinstance(result, Inspection))
    inspections = tuple(result for result in results if isinstance(result, Inspection))
    failures = tuple(result for result in results if isinstance(result, Failure))
    groups = groups_of_copies(images, inspector.config, progress) if find_copies else np.arange(len(images))
    return Measurement(images, inspections, groups, failures=failures), seconds


def category_metrics(
    measurement: Measurement, seconds_per_image: float, progress: Progress = no_progress, seed: int = 0
) -> dict[str, Any]:
    """Compute the content of a category's metrics.json; a value that the data do not allow is None."""
    metrics = summarise(measurement, seed)
    pixels, aupro_of, reason = _pixel_metrics(measurement, progress)
    return {
        **metrics,
        "image_f1_max": metrics["f1_max"],
        **pixels,
        "pixel_metrics_left_out": reason,
        "confusion": asdict(count_decisions(measurement.labels, measurement.flagged)),
        "seconds_per_image": seconds_per_image,
        "per_defect": {name: one | {"aupro": aupro_of.get(name)} for name, one in metrics["per_defect"].items()},
    }


def _pixel_metrics(
    measurement: Measurement, progress: Progress
) -> tuple[dict[str, float | None], dict[str, float | None], str | None]:
    """Compute pixel figures, and the AUPRO of each defect type with all good images; or the reason for having none."""
    pairs = list(zip(measurement.images, measurement.inspections, strict=True))
    reason = _no_pixel_metrics(pairs)
    if reason is not None:
        return dict.fromkeys(METRIC_NAMES), {}, reason
    overall = PixelMetrics()
    by_defect = {name: PixelMetrics() for name in measurement.defects}
    for image, inspection in progress(pairs, len(pairs), "measuring pixels"):
        try:
            marked = image.mask(inspection.photo_size)
        except UserError as error:
            return dict.fromkeys(METRIC_NAMES), {}, str(error)
        mask = np.zeros(inspection.photo_size, bool) if marked is None else marked
        map_ = inspection.photo_map()
        overall.update(map_, mask)
        for name, metrics in by_defect.items():
            if not image.is_anomalous or name in image.labels:
                metrics.update(map_, mask)
    return overall.compute(), {name: metrics.compute()["aupro"] for name, metrics in by_defect.items()}, None


def _no_pixel_metrics(pairs: Sequence[tuple[LabelledImage, Inspection]]) -> str | None:
    defective = [image for image, _ in pairs if image.is_anomalous]
    missing = sum(not image.has_mask for image in defective)
    if not defective:
        return "there are no defective test images"
    if missing:
        return f"{missing} of {len(defective)} defective images have no mask in ground_truth ({LOOKED_FOR})"
    if all(np.isnan(inspection.map).all() for _, inspection in pairs):
        return "the method judges whole images and draws no map"
    return None
