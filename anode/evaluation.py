"""Compare results with labelled boxes, and put the figures of all detectors in one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastener.anode.hits import Hit
from fastener.anode.settings import AnodeSettings, RegionOfInterest
from fastener.anode.volumes import VolumeResult
from fastener.datasets.ct_labels import Labels
from fastener.evaluation.detection import ImageBoxes, as_boxes, detection_metrics

Corners = tuple[float, float, float, float]
# A labelled box counts if at least this share of it lies in a region, because detectors see only regions.
_MIN_SHARE = 0.5


def evaluate(results: Sequence[VolumeResult], labels: Labels, settings: AnodeSettings) -> dict[str, dict[str, Any]]:
    """Measure each detector by its hits that count; an image is one slice, see evaluation/detection.py.

    Labelled boxes are cut off at the regions, and boxes outside all regions are ignored. The figures also state how
    many batteries with a labelled box have a run, and how many batteries without one.
    """
    names = list(results[0].hits) if results else []
    return {name: _evaluate(name, results, labels, settings) for name in names}


def table(evaluation: dict[str, dict[str, Any]]) -> str:
    """Format the metrics of all detectors as a Markdown table."""
    header = [
        "detector", "AP50", "AP50-95", "defects found (95 % interval)", "mean IoU", "false boxes per good slice",
        "cracked batteries found", "good batteries flagged",
    ]  # fmt: skip
    rows = [header, ["---"] * len(header)]
    rows += [_row(name, one) for name, one in evaluation.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def boxes_in_regions(
    boxes: Sequence[Corners], regions: Sequence[RegionOfInterest], share: float = _MIN_SHARE
) -> list[tuple[str, Corners]]:
    """Cut labelled boxes at the regions that hold at least ``share`` of them: region and box in slice pixels."""
    found = []
    for box in boxes:
        for region in regions:
            cut = (
                max(box[0], region.x_min), max(box[1], region.y_min),
                min(box[2], region.x_max), min(box[3], region.y_max),
            )  # fmt: skip
            if cut[0] < cut[2] and cut[1] < cut[3] and _area(cut) >= share * _area(box):
                found.append((region.name, cut))
    return found


def _evaluate(name: str, results: Sequence[VolumeResult], labels: Labels, settings: AnodeSettings) -> dict[str, Any]:
    images: list[ImageBoxes] = []
    cracked: set[str] = set()
    unclear: set[str] = set()
    for result in results:
        volume = result.volume
        for one in volume.slices:
            if one.number in result.errors:
                continue
            true = labels.get((volume.battery, volume.axis, one.number), [])
            truth = [box for _, box in boxes_in_regions(true, settings.roi_config)]
            if not truth and boxes_in_regions(true, settings.roi_config, share=0):
                unclear.add(volume.battery)  # less than half of a crack shows: finding it and missing it are both right
                continue
            images.append(_image(truth, result.counted[name].get(one.number, [])))
            if truth:
                cracked.add(volume.battery)
    batteries = {result.volume.battery for result in results}
    flagged = {result.volume.battery for result in results if result.runs[name]}
    return {
        **asdict(detection_metrics(images)),
        "cracked_batteries": len(cracked),
        "cracked_batteries_found": len(cracked & flagged),
        "good_batteries": len(batteries - cracked - unclear),
        "good_batteries_flagged": len(flagged - cracked - unclear),
    }


def _image(truth: Sequence[Corners], hits: Sequence[Hit]) -> ImageBoxes:
    found = as_boxes([(hit.box.x_min, hit.box.y_min, hit.box.x_max, hit.box.y_max) for hit in hits])
    scores = as_boxes([(hit.box.score, 0, 0, 0) for hit in hits])[:, 0]
    return ImageBoxes(as_boxes(truth), found, scores)


def _row(name: str, one: dict[str, Any]) -> list[str]:
    recall = "-"
    if one["recall"] is not None:
        low, high = one["recall_ci95"]
        recall = f"{one['defects_found']} of {one['defects']} ({low:.2f} to {high:.2f})"
    return [
        name,
        *(_figure(one[key]) for key in ("ap50", "ap50_95")),
        recall,
        *(_figure(one[key]) for key in ("mean_iou", "false_boxes_per_good_image")),
        f"{one['cracked_batteries_found']} of {one['cracked_batteries']}",
        f"{one['good_batteries_flagged']} of {one['good_batteries']}",
    ]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _area(box: Corners) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
