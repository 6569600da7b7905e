"""Measure a model on one category: figures of images, of pixels and of each type of defect."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from fastener.common.errors import UserError
from fastener.datasets.dataset import Category
from fastener.datasets.labelled_image import LabelledImage
from fastener.datasets.masks import LOOKED_FOR
from fastener.evaluation.measure import Measurement, groups_of_copies, summarise
from fastener.evaluation.metrics import count_decisions
from fastener.evaluation.pixel_metrics import METRIC_NAMES, SPRO_FPR, PixelMetrics, tally_image
from fastener.evaluation.region_curves import RegionCurves
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
    measurement: Measurement,
    seconds_per_image: float | None,
    progress: Progress = no_progress,
    seed: int = 0,
    *,
    curves: RegionCurves | None = None,
) -> dict[str, Any]:
    """Compute the content of a category's metrics.json; a value that the data do not allow is None.

    ``curves`` collects the overlap of regions by image, where there are masks.
    """
    metrics = summarise(measurement, seed)
    pixels = _pixel_metrics(measurement, progress, curves)
    if curves is not None and pixels.overall["aupro"] is not None:
        metrics["aupro_ci95"] = list(curves.interval(measurement.labels, measurement.groups, seed=seed))
    saturated = [value for value in pixels.au_spro.values() if value is not None]
    return {
        **metrics,
        "image_f1_max": metrics["f1_max"],
        **pixels.overall,
        "au_spro": float(np.mean(saturated)) if saturated else None,
        "pixel_metrics_left_out": pixels.reason,
        "confusion": asdict(count_decisions(measurement.labels, measurement.flagged)),
        "seconds_per_image": seconds_per_image,
        "per_defect": {
            name: one | {"aupro": pixels.aupro.get(name), "au_spro": pixels.au_spro.get(name)}
            for name, one in metrics["per_defect"].items()
        },
    }


@dataclass(frozen=True)
class _Pixels:
    """Pixel figures of all images; AUPRO and AU-sPRO of each defect type with all good images; why there are none."""

    overall: dict[str, float | None] = field(default_factory=lambda: dict.fromkeys(METRIC_NAMES))
    aupro: dict[str, float | None] = field(default_factory=dict)
    au_spro: dict[str, float | None] = field(default_factory=dict)
    reason: str | None = None


def _pixel_metrics(measurement: Measurement, progress: Progress, curves: RegionCurves | None) -> _Pixels:
    """Compute the pixel figures, or the reason for having none."""
    pairs = list(zip(measurement.images, measurement.inspections, strict=True))
    reason = _no_pixel_metrics(pairs)
    if reason is not None:
        return _Pixels(reason=reason)
    overall = PixelMetrics()
    by_defect = {name: PixelMetrics() for name in measurement.defects}
    saturated = {name: PixelMetrics(SPRO_FPR) for name in measurement.defects}
    all_saturated = True
    for image, inspection in progress(pairs, len(pairs), "measuring pixels"):
        try:
            marked, regions = image.mask(inspection.photo_size), image.regions(inspection.photo_size)
        except UserError as error:
            return _Pixels(reason=str(error))
        mask = np.zeros(inspection.photo_size, bool) if marked is None else marked
        map_ = inspection.photo_map()
        tally = tally_image(map_, mask)
        all_saturated &= regions is not None
        by_region = tally_image(map_, mask, regions) if regions else tally
        overall.add(*tally)
        if curves is not None:
            curves.update(map_, mask)
        for name in by_defect:
            if not image.is_anomalous or name in image.labels:
                by_defect[name].add(*tally)
                saturated[name].add(*by_region)
    return _Pixels(
        overall.compute(),
        {name: metrics.compute()["aupro"] for name, metrics in by_defect.items()},
        {name: metrics.compute()["aupro"] for name, metrics in saturated.items()} if all_saturated else {},
    )


def _no_pixel_metrics(pairs: Sequence[tuple[LabelledImage, Inspection]]) -> str | None:
    defective = [image for image, _ in pairs if image.is_anomalous]
    missing = sum(not image.has_mask for image in defective)
    if not defective:
        return "there are no defective test images"
    if missing:
        return f"{missing} of {len(defective)} defective images have no mask ({LOOKED_FOR})"
    if all(np.isnan(inspection.map).all() for _, inspection in pairs):
        return "the method judges whole images and draws no map"
    return None
