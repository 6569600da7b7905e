"""Compute metrics of boxes: average precision, defects found, false boxes.

Boxes are float (n, 4): x_min, y_min, x_max, y_max in pixels, of which x_max and y_max lie just outside the box. Average
precision is COCO's (Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014; 101 recall points, at most 100
boxes an image), computed by faster-coco-eval. It ranks the boxes of all images by their score. A detector reports no
boxes below its threshold, so the result is a lower bound of its average precision.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from fastener.evaluation.metrics import proportion_ci

Boxes = npt.NDArray[np.float64]
FOUND_IOU = 0.1


@dataclass(frozen=True)
class ImageBoxes:
    """Boxes of one image.

    Parameters
    ----------
    truth : float64 (n, 4)
        Boxes of the labelled defects.
    found : float64 (m, 4)
        Boxes that the detector reported.
    scores : float64 (m,)
        Score of each reported box, higher = more certain.
    """

    truth: Boxes
    found: Boxes
    scores: npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class DetectionMetrics:
    """Metrics of a detector on a set of images; None where the data or the installed packages cannot give a value.

    Attributes
    ----------
    images, good_images : int
        Number of images, and of images without a defect.
    defects, defects_found : int
        Number of defects, and of defects that at least one box finds, see ``finds``.
    false_boxes : int
        Number of boxes on images without a defect.
    ap50, ap50_95 : float or None
        Average precision at IoU 0.5, and its mean over IoU 0.5, 0.55, ... 0.95; 0 to 1.
    recall, recall_ci95 : float, tuple of float, or None
        Share of defects found, with its 95 % interval (Clopper-Pearson; defects count as independent).
    mean_iou : float or None
        Mean over all defects of the best IoU of any box; a defect that no box touches counts 0.
    false_boxes_per_good_image : float or None
        Mean number of boxes on an image without a defect.
    """

    images: int
    good_images: int
    defects: int
    defects_found: int
    false_boxes: int
    ap50: float | None
    ap50_95: float | None
    recall: float | None
    recall_ci95: tuple[float, float] | None
    mean_iou: float | None
    false_boxes_per_good_image: float | None


def detection_metrics(images: Iterable[ImageBoxes]) -> DetectionMetrics:
    """Compute all metrics of a set of images."""
    every = list(images)
    hits = [np.asarray(finds(one.found, one.truth).any(0)) for one in every]
    best = [iou(one.found, one.truth).max(0, initial=0.0) for one in every]
    defects, found = sum(one.size for one in hits), sum(int(one.sum()) for one in hits)
    good = [one for one in every if not len(one.truth)]
    false = sum(len(one.found) for one in good)
    precision = average_precision(every) if defects else None
    return DetectionMetrics(
        images=len(every),
        good_images=len(good),
        defects=defects,
        defects_found=found,
        false_boxes=false,
        ap50=precision[0] if precision else None,
        ap50_95=precision[1] if precision else None,
        recall=found / defects if defects else None,
        recall_ci95=proportion_ci(found, defects) if defects else None,
        mean_iou=float(np.concatenate(best).mean()) if defects else None,
        false_boxes_per_good_image=false / len(good) if good else None,
    )


def iou(a: Boxes, b: Boxes) -> Boxes:
    """Compute the intersection over union of every pair of boxes (n, 4) and (m, 4): float (n, m), 0 to 1.

    >>> iou(as_boxes([[0, 0, 2, 2]]), as_boxes([[0, 0, 2, 1], [5, 5, 6, 6]])).tolist()
    [[0.5, 0.0]]
    """
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def finds(found: Boxes, truth: Boxes) -> npt.NDArray[np.bool_]:
    """Tell which box of ``found`` (n, 4) finds which defect of ``truth`` (m, 4): bool (n, m).

    A box finds a defect if their IoU is at least 0.1, or if the centre of the defect lies in the box.
    """
    centre = (truth[:, :2] + truth[:, 2:]) / 2
    inside = ((centre[None] >= found[:, None, :2]) & (centre[None] <= found[:, None, 2:])).all(2)
    return np.asarray(inside | (iou(found, truth) >= FOUND_IOU))


def average_precision(images: Sequence[ImageBoxes]) -> tuple[float, float] | None:
    """Compute AP50 and AP50-95 of one class, 0 to 1; None if faster-coco-eval is not installed."""
    if find_spec("faster_coco_eval") is None:
        return None
    from faster_coco_eval import COCO, COCOeval_faster

    found = [
        {"image_id": index + 1, "category_id": 1, "bbox": _xywh(box), "score": float(score)}
        for index, one in enumerate(images)
        for box, score in zip(one.found, one.scores, strict=True)
    ]
    if not found:
        return 0.0, 0.0
    truth = COCO(_ground_truth(images))
    evaluation = COCOeval_faster(truth, truth.loadRes(found), "bbox", print_function=lambda *words: None)
    evaluation.run()
    return float(evaluation.stats[1]), float(evaluation.stats[0])


def as_boxes(boxes: Sequence[Sequence[float]]) -> Boxes:
    """Convert a list of (x_min, y_min, x_max, y_max) to float64 (n, 4); an empty list gives (0, 4)."""
    return np.array(boxes, np.float64).reshape(-1, 4)


def _ground_truth(images: Sequence[ImageBoxes]) -> dict[str, Any]:
    boxes = [(index + 1, box) for index, one in enumerate(images) for box in one.truth]
    return {
        "images": [{"id": index + 1, "width": 1, "height": 1} for index in range(len(images))],
        "categories": [{"id": 1, "name": "defect"}],
        "annotations": [
            {
                "id": number + 1,
                "image_id": image,
                "category_id": 1,
                "bbox": _xywh(box),
                "area": float((box[2] - box[0]) * (box[3] - box[1])),
                "iscrowd": 0,
            }
            for number, (image, box) in enumerate(boxes)
        ],
    }


def _xywh(box: Boxes) -> list[float]:
    return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]
