"""Box metrics against hand-made cases and pycocotools' definition worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastener.evaluation.detection import ImageBoxes, as_boxes, average_precision, detection_metrics, finds, iou

NONE: list[tuple[float, ...]] = []
needs_coco_eval = pytest.mark.skipif(
    average_precision([ImageBoxes(as_boxes([(0, 0, 1, 1)]), as_boxes(NONE), np.zeros(0))]) is None,
    reason="faster-coco-eval is not installed (requirements/detection.txt)",
)


def image(truth: list[tuple[float, ...]], found: list[tuple[float, ...]], scores: list[float]) -> ImageBoxes:
    return ImageBoxes(as_boxes(truth), as_boxes(found), np.array(scores, float))


corners = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 8), st.integers(1, 8))


@given(corners, corners)
def test_iou_is_that_of_counted_pixels(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    grids = np.zeros((2, 24, 24), bool)
    boxes = []
    for grid, (x, y, w, h) in zip(grids, (a, b), strict=True):
        grid[y : y + h, x : x + w] = True
        boxes.append((x, y, x + w, y + h))
    expected = (grids[0] & grids[1]).sum() / (grids[0] | grids[1]).sum()
    assert iou(as_boxes(boxes[:1]), as_boxes(boxes[1:]))[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("box", "found"),
    [
        ((0, 0, 10, 10), True),
        ((0, 0, 100, 100), True),  # IoU 0.01, but the defect's centre lies inside
        ((8, 0, 18, 10), True),  # IoU 0.11
        ((9, 0, 19, 10), False),  # IoU 0.05
        ((4, 4, 6, 6), True),  # small, over the centre
        ((0, 0, 2, 2), False),  # small, in a corner: IoU 0.04
        ((30, 30, 40, 40), False),
    ],
)
def test_a_defect_is_found_by_overlap_or_by_its_centre(box: tuple[int, ...], found: bool) -> None:
    assert finds(as_boxes([box]), as_boxes([(0, 0, 10, 10)])).item() is found


def test_counts_over_images() -> None:
    got = detection_metrics(
        [
            image([(0, 0, 10, 10), (50, 50, 60, 60)], [(0, 0, 10, 5)], [0.9]),
            image([], [(0, 0, 5, 5), (9, 9, 12, 12)], [0.5, 0.4]),
            image([], [], []),
        ]
    )
    assert (got.images, got.good_images, got.defects, got.defects_found, got.false_boxes) == (3, 2, 2, 1, 2)
    assert got.recall == 0.5
    assert got.mean_iou == pytest.approx(0.25)
    assert got.false_boxes_per_good_image == 1.0
    assert got.recall_ci95 is not None
    assert got.recall_ci95[0] < 0.5 < got.recall_ci95[1]


def test_what_the_data_cannot_give_is_none() -> None:
    empty = detection_metrics([])
    assert (empty.ap50, empty.recall, empty.mean_iou, empty.false_boxes_per_good_image) == (None,) * 4
    only_bad = detection_metrics([image([(0, 0, 5, 5)], [], [])])
    assert (only_bad.recall, only_bad.mean_iou, only_bad.false_boxes_per_good_image) == (0.0, 0.0, None)


@needs_coco_eval
def test_average_precision_of_cases_worked_out_by_hand() -> None:
    one = image([(0, 0, 10, 10)], [(0, 0, 10, 10)], [0.9])
    assert average_precision([one]) == pytest.approx((1.0, 1.0))
    # A false box above the right one: precision is 1/2 at every recall.
    behind = image([(0, 0, 10, 10)], [(50, 50, 60, 60), (0, 0, 10, 10)], [0.9, 0.8])
    assert average_precision([behind]) == pytest.approx((0.5, 0.5))
    # IoU 0.6 is right at 0.5, 0.55 and 0.6 of the ten thresholds.
    loose = image([(0, 0, 10, 10)], [(0, 0, 10, 6)], [0.9])
    assert average_precision([loose]) == pytest.approx((1.0, 0.3))
    # A false box on a good image that scores higher counts too; order and size of the images do not matter.
    good = image([], [(0, 0, 5, 5)], [0.95])
    assert average_precision([good, one]) == average_precision([one, good]) == pytest.approx((0.5, 0.5))
    # Half of the defects found, all right: recall 0 to 0.5 are 51 of the 101 points.
    missed = image([(0, 0, 10, 10)], [], [])
    assert average_precision([one, missed]) == pytest.approx((51 / 101, 51 / 101))
    assert average_precision([missed]) == (0.0, 0.0)
