"""Read boxes that people drew in CT slices: ``labels.csv`` with one line for each box, see ``LABEL_COLUMNS``."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from fastener.common.errors import UserError
from fastener.common.spreadsheet import read_rows, with_point
from fastener.datasets.ct_slices import CtSlice, Volume

LABEL_COLUMNS = ("battery_id", "axis", "file_name", "xmin", "ymin", "xmax", "ymax")
# Battery, axis and slice number -> boxes as x_min, y_min, x_max, y_max in slice pixels; the maxima lie just outside.
Labels = dict[tuple[str, str, int], list[tuple[float, float, float, float]]]


def file_name(one: CtSlice) -> str:
    """Return the name of a slice in tables: its file name, with the page if the file has several pages."""
    return f"{one.name}{one.path.suffix}"


def read_labels(path: Path, volumes: Sequence[Volume], passed_over: Sequence[Volume] = ()) -> Labels:
    """Read the boxes of the slices in ``volumes``; lines about slices that filters left out are ignored.

    ``passed_over`` are the volumes without any slice that was asked for, see ``Listing``. Raises UserError for a
    missing file or column and for a box without area. A line that names an unknown battery, axis or slice is an error
    too: its crack would be lost and the battery treated as good.
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
        rows = read_rows(path)
        header = next(rows, (1, []))[1]
        missing = [name for name in LABEL_COLUMNS if name not in header]
        if missing:
            raise UserError(f"{path}: no column {', '.join(missing)}; it needs {', '.join(LABEL_COLUMNS)}")
        for number, cells in rows:
            line = dict(zip(header, cells, strict=False))
            battery, axis, name = (line.get(column, "") for column in LABEL_COLUMNS[:3])
            where, key = f"{path}, line {number}", (battery, axis, name)
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
        x_min, y_min, x_max, y_max = (float(with_point(line[name])) for name in LABEL_COLUMNS[3:])
    except (KeyError, ValueError):
        raise UserError(f"{where}: xmin, ymin, xmax and ymax must be numbers") from None
    if not (0 <= x_min < x_max < float("inf") and 0 <= y_min < y_max < float("inf")):
        raise UserError(f"{where}: the box has no area; xmin must lie below xmax, ymin below ymax, from 0")
    return x_min, y_min, x_max, y_max
