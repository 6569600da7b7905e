"""Boxes that people drew in CT slices: ``labels.csv`` with battery_id, axis, file_name, xmin, ymin, xmax, ymax."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from fastener.common.errors import UserError
from fastener.datasets.ct_slices import CtSlice, Volume

LABEL_COLUMNS = ("battery_id", "axis", "file_name", "xmin", "ymin", "xmax", "ymax")
# Battery, axis and slice number -> boxes as x_min, y_min, x_max, y_max in slice pixels; max just outside.
Labels = dict[tuple[str, str, int], list[tuple[float, float, float, float]]]


def file_name(one: CtSlice) -> str:
    """The name of a slice in tables: that of its file, with the page if the file has several."""
    return f"{one.name}{one.path.suffix}"


def read_labels(path: Path, volumes: Sequence[Volume], passed_over: Sequence[Volume] = ()) -> Labels:
    """The boxes of the slices in ``volumes``; lines about slices that filters left out are passed over.

    ``passed_over`` is that of the ``Listing``. Raises UserError for a missing file or column, a box without area, and
    a line whose battery, axis or slice there is not: its crack would be missed, and its battery taken for a good one.
    """
    every = (*volumes, *passed_over)
    numbers = {(v.battery, v.axis, file_name(one)): one.number for v in volumes for one in v.slices}
    left_out = {(v.battery, v.axis, file_name(one)) for v in every for one in v.left_out}
    other_axes = {(v.battery, v.axis) for v in passed_over if not v.left_out}
    named = {(v.battery, v.axis) for v in every}
    batteries = {volume.battery for volume in every}
    labels: Labels = {}
    known, unknown = False, ""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in LABEL_COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise UserError(f"{path}: no column {', '.join(missing)}; it needs {', '.join(LABEL_COLUMNS)}")
            for line in reader:
                if not any(line.values()):  # a spreadsheet leaves lines of commas
                    continue
                battery, axis, name = (line[column] or "" for column in LABEL_COLUMNS[:3])
                where, key = f"{path}, line {reader.line_num}", (battery, axis, name)
                known |= battery in batteries
                if key in numbers:
                    labels.setdefault((battery, axis, numbers[key]), []).append(_box(line, where))
                elif (battery, axis) not in named:
                    unknown = unknown or (
                        f"{where}: no folder '{battery}/{axis}' with slices; write battery_id and axis as the folders "
                        "are named (a spreadsheet turns 001 into 1)"
                    )
                elif key not in left_out and (battery, axis) not in other_axes:
                    raise UserError(f"{where}: {battery}/{axis} has no slice {name!r}")
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); it holds the boxes of the labelled slices"
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV file in UTF-8: {error}") from None
    if unknown and not known:
        raise UserError(f"{path}: no line names a battery of this folder; battery_id is the name of its folder")
    if unknown:
        raise UserError(unknown)
    return labels


def _box(line: dict[str, str], where: str) -> tuple[float, float, float, float]:
    try:
        x_min, y_min, x_max, y_max = (float(line[name]) for name in LABEL_COLUMNS[3:])
    except (TypeError, ValueError):
        raise UserError(f"{where}: xmin, ymin, xmax and ymax must be numbers") from None
    if not (0 <= x_min < x_max < float("inf") and 0 <= y_min < y_max < float("inf")):
        raise UserError(f"{where}: the box has no area; xmin must lie below xmax, ymin below ymax, from 0")
    return x_min, y_min, x_max, y_max
