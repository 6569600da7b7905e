"""Inspections as text: entries of results.json, lines of results.csv, and the verdict in one line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastener.common.errors import one_line
from fastener.common.files import GrowingFile
from fastener.common.spreadsheet import CsvWriter
from fastener.inspection.fields import RESULT_FIELDS, ByEvidence, Rows
from fastener.inspection.result import Failure, Inspection

# Below this share of a photo, an inspection of it says that it saw only a part.
_WHOLE = 0.995
# So many photos of which nearly all are flagged are seldom defects.
_SEVERAL, _NEARLY_ALL = 5, 0.9
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
                plain = [one for one in field.kind.fields if one.kind is not dict]
                flat |= {f"{kind}_{one.name}": values.get(one.name, "") for one in plain}
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
        self._writer = CsvWriter(file)
        self._writer.write_row(flat_record({}, kinds))

    def write(self, entry: dict[str, Any]) -> None:
        """Append one entry."""
        self._writer.write_row(flat_record(entry, self._kinds).values())

    def close(self) -> None:
        """Put the file in its place."""
        self._file.close()


def verdict(inspection: Inspection) -> str:
    """State name, verdict, score, p-value and confidence in one line; of a photo without a part, the problem."""
    name = one_line(photo_name(inspection))
    if inspection.problem:
        return f"{name}: {inspection.verdict}, {inspection.problem}; retake the photo"
    told = inspection.findings if inspection.is_anomalous else _why_look(inspection)
    said = f"; {told}" if told else ""
    seen = f" of the {inspection.inspected_share:.0%} that was inspected" if inspected_in_part(inspection) else ""
    return (
        f"{name}: {inspection.verdict}{seen}, score {inspection.score:.2f} "
        f"(threshold {inspection.threshold:.2f}), p = {inspection.p_value:.3f}, "
        f"confidence {inspection.confidence:.0%}{said}"
    )


def _why_look(inspection: Inspection) -> str:
    """Say why a person should look at a photo that passes; "" if nobody need."""
    if inspection.verdict != "LOOK":
        return ""
    return "a place is odder than healthy photos' oddest" if inspection.regions else "odder than most healthy photos"


def inspected_in_part(inspection: Inspection) -> bool:
    """Tell whether a photo passed although a part of it was cut off. Where only the part counts, nothing was."""
    passed = not inspection.is_anomalous
    return passed and bool(inspection.mask.all()) and inspection.inspected_share < _WHOLE


class Counts:
    """Counts verdicts, for the last line of a run."""

    def __init__(self) -> None:
        self.verdicts = dict.fromkeys(("normal", "LOOK", "ANOMALOUS", "NO PART"), 0)
        self.failed = 0
        self._least_share = 1.0
        self._in_part = 0

    def add(self, entry: Mapping[str, Any], in_part: bool = False) -> None:
        """Count a ``record``; ``in_part`` says whether a photo passed of which a part was not inspected."""
        if "error" in entry:
            self.failed += 1
            return
        self.verdicts[entry["verdict"]] += 1
        if in_part:
            self._in_part += 1
            self._least_share = min(self._least_share, entry["inspected_share"])

    def hint(self) -> str:
        """Say what to look at if nearly all of several photos were flagged; "" otherwise."""
        flagged = self.verdicts["ANOMALOUS"] + self.verdicts["NO PART"]
        total = sum(self.verdicts.values())
        if total < _SEVERAL or flagged < _NEARLY_ALL * total:
            return ""
        return (
            f"{flagged} of {total} photos are flagged: if the parts are good, the camera, light, focus or distance is "
            "another one than in training, or the model is of another part; train on good photos of this place, or "
            "move the threshold by baseline shots with --adaptive-threshold (INTERPRET.md)"
        )

    def line(self) -> str:
        """State the counts in one line."""
        look = f"{self.verdicts['LOOK']} to look at, " if self.verdicts["LOOK"] else ""
        counts = (
            f"{self.verdicts['normal']} normal, {look}{self.verdicts['ANOMALOUS']} anomalous, "
            f"{self.verdicts['NO PART']} without a part, {self.failed} could not be read"
        )
        if not self._in_part:
            return counts
        return f"{counts}; of {self._in_part} that passed only a part was inspected, at least {self._least_share:.0%}"


def photo_name(inspection: Inspection) -> str:
    """Name the photo: its file name, or "photo" for an array."""
    return inspection.path.name if inspection.path is not None else "photo"
