"""Inspections as text: entries of results.json, lines of results.csv, and the verdict in one line."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from typing import Any

from fastener.common.errors import one_line
from fastener.common.files import GrowingFile
from fastener.inspection.fields import RESULT_FIELDS, ByEvidence, Rows
from fastener.inspection.result import Failure, Inspection

# The plain fields; each kind of evidence and each list of rows follow with columns of their own.
CSV_COLUMNS = tuple(field.name for field in RESULT_FIELDS if isinstance(field.kind, type))


def record(result: Inspection | Failure, is_baseline: bool = False) -> dict[str, Any]:
    """Describe a result as one entry of results.json: plain values only, regions in photo pixels."""
    entry = {field.name: field.rounded(result) for field in RESULT_FIELDS if isinstance(result, field.on)}
    return entry | {"is_baseline": is_baseline} if isinstance(result, Inspection) else entry


def flat_record(entry: dict[str, Any], kinds: Sequence[str]) -> dict[str, Any]:
    """Flatten a ``record`` into one line of results.csv; ``kinds`` names the evidence. Lists of rows become JSON."""
    flat: dict[str, Any] = {name: entry.get(name, "") for name in CSV_COLUMNS}
    for field in RESULT_FIELDS:
        value = entry.get(field.name)
        if isinstance(field.kind, ByEvidence):
            for kind in kinds:
                values = (value or {}).get(kind, {})
                flat |= {f"{kind}_{one.name}": values.get(one.name, "") for one in field.kind.fields}
        elif isinstance(field.kind, Rows):
            flat[f"n_{field.name}"] = "" if value is None else len(value)
            flat[field.name] = "" if value is None else json.dumps(value)
    return flat


class JsonList:
    """Writes entries one by one into a JSON list, so that memory does not grow with the number of photos.

    Parameters
    ----------
    file : GrowingFile
        Receives the list; it is valid JSON after each entry.
    """

    _END = "\n]\n"

    def __init__(self, file: GrowingFile):
        self._file = file
        self._first = True
        file.write("[", self._END)

    def write(self, entry: dict[str, Any]) -> None:
        """Append one entry."""
        self._file.write(("\n" if self._first else ",\n") + "  " + json.dumps(entry, allow_nan=False), self._END)
        self._first = False

    def close(self) -> None:
        """Put the file in its place."""
        self._file.close()


class CsvTable:
    """Writes entries one by one as lines of a table.

    Parameters
    ----------
    file : GrowingFile
        Receives the lines, the header first.
    kinds : sequence of str
        Kinds of evidence that get columns.
    """

    def __init__(self, file: GrowingFile, kinds: Sequence[str]):
        self._file = file
        self._kinds = kinds
        self._writer = csv.DictWriter(file, list(flat_record({}, kinds)))
        self._writer.writeheader()

    def write(self, entry: dict[str, Any]) -> None:
        """Append one entry."""
        self._writer.writerow(flat_record(entry, self._kinds))

    def close(self) -> None:
        """Put the file in its place."""
        self._file.close()


def verdict(inspection: Inspection) -> str:
    """State name, decision, score, p-value and confidence in one line."""
    return (
        f"{one_line(photo_name(inspection))}: {decision(inspection)}, score {inspection.score:.2f} "
        f"(threshold {inspection.threshold:.2f}), p = {inspection.p_value:.3f}, "
        f"confidence {inspection.confidence:.0%}"
    )


def decision(inspection: Inspection) -> str:
    """Name the decision: "ANOMALOUS" or "normal"."""
    return "ANOMALOUS" if inspection.is_anomalous else "normal"


def photo_name(inspection: Inspection) -> str:
    """Name the photo: its file name, or "photo" for an array."""
    return inspection.path.name if inspection.path is not None else "photo"
