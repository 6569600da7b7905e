"""Draw the figures of a category."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastener.datasets.images import read_image, shrunk
from fastener.datasets.mvtec import readable
from fastener.evaluation.measure import Measurement
from fastener.evaluation.metrics import Confusion
from fastener.evaluation.report import write_score_plots
from fastener.evaluation.threshold_note import threshold_note
from fastener.evaluation.visualize import confusion_matrix, footnote, save_figure
from fastener.inspection.drawing import Picture, contact_sheet, mask_picture, save_picture
from fastener.inspection.pictures import heatmap_picture

_EXAMPLES_PER_TYPE = 2


def write_category_plots(measurement: Measurement, metrics: Mapping[str, Any], folder: Path) -> None:
    """Write roc_curve.png, pr_curve.png, score_distribution.png, confusion_matrix.png and examples.png."""
    decisions = Confusion(**metrics["confusion"])
    types = [readable(image.labels[0]) for image in measurement.images]
    write_score_plots(measurement, metrics, names=types, decisions=decisions, folder=folder)
    save_figure(footnote(confusion_matrix(decisions), threshold_note(metrics)), folder / "confusion_matrix.png")
    save_picture(examples(measurement), folder / "examples.png")


def examples(measurement: Measurement) -> Picture:
    """Show photo, heatmap and ground truth of the least and the most anomalous image of every type."""
    types = sorted({image.labels[0] for image in measurement.images})
    rows, captions = [], []
    for name in types:
        members = [i for i, image in enumerate(measurement.images) if image.labels[0] == name]
        ordered = sorted(members, key=lambda i: measurement.scores[i])
        for index in dict.fromkeys([ordered[0], ordered[-1]][:_EXAMPLES_PER_TYPE]):
            image, inspection = measurement.images[index], measurement.inspections[index]
            photo = read_image(image.path)
            small = shrunk(photo, 512)
            mask = image.mask(inspection.photo_size)
            truth = np.zeros_like(photo) if mask is None else mask_picture(mask)
            rows.append([small, heatmap_picture(small, inspection), shrunk(truth, 512)])
            verdict = inspection.problem or ("flagged" if inspection.is_anomalous else "passed")
            captions.append(
                f"{readable(name)} {image.path.name}: {verdict}, score {inspection.score:.2f}, "
                f"threshold {inspection.threshold:.2f}"
            )
    return contact_sheet(rows, captions, ["photo", "anomaly map", "ground truth"], cell=240)
