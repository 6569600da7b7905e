"""The parts of responses that follow from the fields of a result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import GenericAlias
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, create_model

from fastener.console.tables import MAY_BE_NULL
from fastener.inspection.fields import RESULT_FIELDS, ByEvidence, Rows
from fastener.inspection.fields import Field as ResultField

# Fields of a result that responses call by another name.
API_NAMES = {"score": "anomaly_score"}
M = TypeVar("M", bound=BaseModel)


class Answer(BaseModel):
    """Common base of all responses."""

    model_config = ConfigDict(from_attributes=True)


def with_fields(fields: Sequence[ResultField], names: dict[str, str] | None = None) -> Callable[[type[M]], type[M]]:
    """Decorate a model so that it also has ``fields`` of a result; ``names`` renames some of them."""

    def decorated(model: type[M]) -> type[M]:
        derived: dict[str, Any] = {}
        for field in fields:
            kind, default = (_type(field) | None, None) if field.name in MAY_BE_NULL else (_type(field), ...)
            derived[(names or {}).get(field.name, field.name)] = kind, Field(default, description=field.description)
        return create_model(
            model.__name__, __base__=model, __doc__=model.__doc__, __module__=model.__module__, **derived
        )

    return decorated


def _type(field: ResultField) -> Any:
    """Choose the type of a field: a nested one is a list of models, or a dictionary of them by kind of evidence."""
    if isinstance(field.kind, Rows):
        return GenericAlias(list, (_NESTED[field.name],))
    if isinstance(field.kind, ByEvidence):
        return GenericAlias(dict, (str, _NESTED[field.name]))
    return field.kind


class Region(Answer):
    """A box in pixels of the image as it is seen upright."""


class EvidenceScore(Answer):
    """The result of one kind of evidence."""


_NESTED = {
    field.name: with_fields(field.kind.fields)(Region if isinstance(field.kind, Rows) else EvidenceScore)
    for field in RESULT_FIELDS
    if isinstance(field.kind, Rows | ByEvidence)
}


class Named(Answer):
    """The kind of defect that an open-set model sees."""

    verdict: str = Field(description="a known kind, unknown, or no_defect where the photo passes")
    named: str = Field(description="the most likely known kind, whatever the verdict")
    confidence: float = Field(description="the classifier's probability of that kind, 0 to 1")
    score: float = Field(description="how unlike all known kinds the photo looks")
    threshold: float = Field(description="a defect whose score lies above this value is unknown")
