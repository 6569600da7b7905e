"""The fields of a result, in one list: JSON, CSV, Parquet, the console's table and its answers are derived from it.

A new field is one entry of ``RESULT_FIELDS``. Files take it up at once; the console's database also needs a migration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from fastener.inspection.result import Failure, Inspection


@dataclass(frozen=True)
class Field:
    """One named value of a result, or of a part of it.

    Parameters
    ----------
    name : str
        Key in JSON, column in CSV and Parquet.
    kind : type or Rows or ByEvidence
        ``bool``, ``int``, ``float`` or ``str`` for a plain value, ``dict`` for numbers by name, ``Rows`` or
        ``ByEvidence`` for a nested one.
    description : str
        The meaning, with unit and range, as part of a sentence.
    get : callable or None
        Takes the value from the object that has it. None: the object's attribute called ``name``.
    on : tuple of types
        Which results have the field.
    digits : int
        Decimal places that files keep of a ``float``.
    """

    name: str
    kind: type | Rows | ByEvidence
    description: str
    get: Callable[[Any], Any] | None = None
    on: tuple[type, ...] = (Inspection,)
    digits: int = 6

    def value(self, source: Any) -> Any:
        """Take the value from ``source``: a number in full, a nested value as lists and dictionaries."""
        value = (self.get or attrgetter(self.name))(source)
        if isinstance(self.kind, Rows):
            return [self.kind.values(row) for row in value]
        if isinstance(self.kind, ByEvidence):
            return {kind: self.kind.values(one) for kind, one in value.items()}
        return value

    def rounded(self, source: Any) -> Any:
        """Take the value as files hold it, numbers with ``digits`` decimal places."""
        value = self.value(source)
        return round(value, self.digits) if isinstance(value, float) else value


@dataclass(frozen=True)
class _Nested:
    fields: tuple[Field, ...]

    def values(self, source: Any) -> dict[str, Any]:
        """Take the values of one row, rounded."""
        return {field.name: field.rounded(source) for field in self.fields}


class Rows(_Nested):
    """A list of rows that have the same ``fields``."""


class ByEvidence(_Nested):
    """The same ``fields`` once for each kind of evidence."""


RESULT_FIELDS = (
    Field(
        "path",
        str,
        "file that was inspected; null for an array",
        lambda result: None if result.path is None else str(result.path),
        on=(Inspection, Failure),
    ),
    Field("verdict", str, "normal, ANOMALOUS, NO PART where the photo cannot be judged, or LOOK under --look-band"),
    Field("is_anomalous", bool, "whether the score lies above the threshold, or the photo cannot be judged"),
    # An Inspection does not know the tag of baseline shots: ``tables.record`` fills in the caller's value.
    Field("is_baseline", bool, "whether the file name marks a baseline shot", lambda inspection: False),
    Field("score", float, "joined score of all evidence; higher = more anomalous"),
    Field("threshold", float, "a photo whose score lies above this value is anomalous"),
    Field("p_value", float, "share of healthy parts that look at least as odd; 0 to 1"),
    Field(
        "confidence",
        float,
        "how far the score lies from the threshold: 0.5 at the threshold, at most 1; null where the verdict is NO PART",
        lambda inspection: None if inspection.problem else inspection.confidence,
    ),
    Field("part_found", bool, "whether the part was told from the background; if not, the whole photo was judged"),
    Field("problem", str, "why the photo cannot be judged, in a few words; empty if it can"),
    Field("inspected_share", float, "share of the photo that was inspected; 0 to 1"),
    Field("error", str, "the reason why the photo could not be inspected", on=(Failure,)),
    Field(
        "evidence",
        ByEvidence(
            (
                Field("score", float, "raw score in the unit of this kind of evidence; higher = more anomalous"),
                Field("p_value", float, "share of healthy parts that score at least as high by this kind; 0 to 1"),
                Field("figures", dict, "named numbers behind the score, such as the bend in degrees; often none"),
                Field("note", str, "what this kind found, or why it could not judge, in a few words; often empty"),
            )
        ),
        "score, p-value, figures and note of each kind of evidence",
    ),
    Field(
        "regions",
        Rows(
            (
                Field("x", int, "left edge of the box, in photo pixels"),
                Field("y", int, "upper edge of the box, in photo pixels"),
                Field("width", int, "width of the box, in photo pixels"),
                Field("height", int, "height of the box, in photo pixels"),
                Field("score", float, "highest value of the anomaly map inside the region"),
                Field("area", float, "area of the region's own pixels, in square photo pixels", digits=1),
            )
        ),
        "boxes round the places where an anomalous photo's map exceeds the threshold, or that of a photo to look at "
        "what healthy places reach, in pixels of the upright photo",
    ),
)
