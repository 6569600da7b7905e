"""Inspections as files: JSON, CSV and pictures. Dumb on purpose: nothing is computed here."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from fastener.common.errors import one_line
from fastener.common.files import GrowingFile
from fastener.datasets.images import read_reduced
from fastener.inspection.drawing import Picture, contact_sheet, draw_boxes, heatmap_overlay, mask_picture, shorten
from fastener.inspection.result import Failure, Inspection
from fastener.preprocessing.pipeline import Prepared

_DIGITS = 6
PREVIEW_SIDE = 1600
T = TypeVar("T")


def record(result: Inspection | Failure, is_baseline: bool = False) -> dict[str, Any]:
    """One entry of results.json: plain values only, regions in photo pixels."""
    path = str(result.path) if result.path is not None else None
    if isinstance(result, Failure):
        return {"path": path, "error": result.error}
    return {
        "path": path,
        "is_anomalous": result.is_anomalous,
        "is_baseline": is_baseline,
        "score": round(result.score, _DIGITS),
        "threshold": round(result.threshold, _DIGITS),
        "p_value": round(result.p_value, _DIGITS),
        "confidence": round(result.confidence, _DIGITS),
        "part_found": result.part_found,
        "evidence": {
            kind: {"score": round(one.score, _DIGITS), "p_value": round(one.p_value, _DIGITS)}
            for kind, one in result.evidence.items()
        },
        "regions": [
            {
                "x": r.x,
                "y": r.y,
                "width": r.width,
                "height": r.height,
                "score": round(r.score, _DIGITS),
                "area": round(r.area, 1),
            }
            for r in result.regions
        ],
    }


def flat_record(entry: dict[str, Any], kinds: tuple[str, ...]) -> dict[str, Any]:
    """A ``record`` as one line of results.csv: a column a value, regions as JSON."""
    flat = {key: entry.get(key, "") for key in CSV_COLUMNS}
    for kind in kinds:
        values = entry.get("evidence", {}).get(kind, {})
        flat[f"{kind}_score"], flat[f"{kind}_p_value"] = values.get("score", ""), values.get("p_value", "")
    flat["n_regions"] = len(entry["regions"]) if "regions" in entry else ""
    flat["regions"] = json.dumps(entry["regions"]) if "regions" in entry else ""
    return flat


CSV_COLUMNS = (
    "path",
    "is_anomalous",
    "is_baseline",
    "score",
    "threshold",
    "p_value",
    "confidence",
    "part_found",
    "error",
)


class JsonList:
    """Writes entries one by one into a JSON list, so that memory does not grow with the folder."""

    _END = "\n]\n"

    def __init__(self, file: GrowingFile):
        self._file = file
        self._first = True
        file.write("[", self._END)

    def write(self, entry: dict[str, Any]) -> None:
        self._file.write(("\n" if self._first else ",\n") + "  " + json.dumps(entry, allow_nan=False), self._END)
        self._first = False

    def close(self) -> None:
        """Put the file in its place."""
        self._file.close()


class CsvTable:
    """Writes entries one by one as lines of a table."""

    def __init__(self, file: GrowingFile, kinds: tuple[str, ...]):
        evidence = [f"{kind}_{value}" for kind in kinds for value in ("score", "p_value")]
        self._file = file
        self._kinds = kinds
        self._writer = csv.DictWriter(file, [*CSV_COLUMNS, *evidence, "n_regions", "regions"])
        self._writer.writeheader()

    def write(self, entry: dict[str, Any]) -> None:
        self._writer.writerow(flat_record(entry, self._kinds))

    def close(self) -> None:
        """Put the file in its place."""
        self._file.close()


def open_tables(
    stack: ExitStack, output: Path, as_json: bool, as_csv: bool, kinds: tuple[str, ...]
) -> list[JsonList | CsvTable]:
    """results.json and results.csv in ``output``, as asked; put in their place when ``stack`` ends."""

    def opened(name: str) -> GrowingFile:
        file = GrowingFile(output / name)
        stack.callback(file.close)
        return file

    tables: list[JsonList | CsvTable] = []
    if as_json:
        tables.append(JsonList(opened("results.json")))
    if as_csv:
        tables.append(CsvTable(opened("results.csv"), kinds))
    return tables


def picture_names(relative: Mapping[T, Path]) -> dict[T, Path]:
    """Name of each photo's pictures below the output folder: its stem, or its full name where two share a stem."""
    names = list(relative.values())
    taken = Counter(names + [name.with_suffix("") for name in names])
    return {key: name if taken[name.with_suffix("")] > 1 else name.with_suffix("") for key, name in relative.items()}


def overlay_picture(photo: Picture, inspection: Inspection) -> Picture:
    """The photo, or a shrunk copy of it, under its heatmap, on the model's one colour scale."""
    return heatmap_overlay(photo, inspection.photo_map(photo.shape[:2]), *colour_range(inspection))


def colour_range(inspection: Inspection) -> tuple[float, float]:
    """Map values at the ends of the model's one colour scale.

    What reaches not half of the threshold stays the photo it is; colours brighten up to two and a half times it.
    """
    threshold = max(inspection.threshold, 1e-6)
    return 0.5 * threshold, 2.5 * threshold


def regions_picture(photo: Picture, inspection: Inspection) -> Picture:
    """The photo, or a shrunk copy of it, with a box round every region."""
    scale = photo.shape[1] / inspection.photo_size[1]
    boxes = [
        (round(r.x * scale), round(r.y * scale), round((r.x + r.width) * scale), round((r.y + r.height) * scale))
        for r in inspection.regions
    ]
    return draw_boxes(photo, boxes)


def detection_picture(photo: Picture, inspection: Inspection, cell: int = 420) -> Picture:
    """Photo, overlay and regions side by side, under the verdict."""
    return contact_sheet(
        [[photo, overlay_picture(photo, inspection), regions_picture(photo, inspection)]],
        [_caption(inspection)],
        ["photo", "anomaly map", "regions over the threshold"],
        cell,
    )


def result_picture(photo: Picture, inspection: Inspection, mask: np.ndarray | None, cell: int = 320) -> Picture:
    """Photo, heatmap, overlay and, if there is a ``mask`` (H, W) of the defect, ground truth, under the verdict."""
    row = [photo, heatmap_picture(photo, inspection), overlay_picture(photo, inspection)]
    titles = ["photo", "anomaly map", "overlay"]
    if mask is not None:
        row.append(mask_picture(mask))
        titles.append("ground truth")
    return contact_sheet([row], [_caption(inspection)], titles, cell)


def heatmap_picture(photo: Picture, inspection: Inspection) -> Picture:
    """The heatmap alone, on black, in the size of ``photo``."""
    return overlay_picture(np.zeros_like(photo), inspection)


def preprocessing_sheet(pairs: Sequence[tuple[Path, Prepared]], cell: int = 200) -> Picture:
    """Before (the photo in the canonical frame), mask, and after: one row a photo."""
    rows = [[one.photo, mask_picture(one.mask), one.image] for _, one in pairs]
    captions = [path.name + ("" if one.part_found else " (no part found: whole frame)") for path, one in pairs]
    return contact_sheet(rows, captions, ["before", "mask", "after"], cell)


def verdict(inspection: Inspection) -> str:
    """One line: name, decision, score, p-value, confidence."""
    return (
        f"{one_line(_name(inspection))}: {_decision(inspection)}, score {inspection.score:.2f} "
        f"(threshold {inspection.threshold:.2f}), p = {inspection.p_value:.3f}, "
        f"confidence {inspection.confidence:.0%}"
    )


def preview(path: Path, side: int = PREVIEW_SIDE) -> Picture:
    """The photo in a file, ``shrunk``. Raises UserError if it cannot be read."""
    return shrunk(read_reduced(path, side)[0], side)


def shrunk(photo: Picture, side: int = PREVIEW_SIDE) -> Picture:
    """The photo with its longer side at most ``side`` pixels; pictures for people need no more."""
    scale = min(1.0, side / max(photo.shape[:2]))
    if scale == 1.0:
        return photo
    size = (max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale)))
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)


def _caption(inspection: Inspection) -> str:
    """The verdict for a picture, short enough that nothing but the name is cut."""
    name = shorten(_name(inspection), lambda text: len(text) <= 20)
    return f"{_decision(inspection)}: score {inspection.score:.2f}, threshold {inspection.threshold:.2f} ({name})"


def _decision(inspection: Inspection) -> str:
    return "ANOMALOUS" if inspection.is_anomalous else "normal"


def _name(inspection: Inspection) -> str:
    return inspection.path.name if inspection.path is not None else "photo"
