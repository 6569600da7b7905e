"""Read the lab sheet: who tested what, how and when, for the head of the report."""

from __future__ import annotations

import datetime
from pathlib import Path

from pydantic import Field, field_validator

from fastener.common.errors import UserError
from fastener.common.settings import Section, load_settings


class LabSheet(Section):
    """What a laboratory states about a test. Every entry is optional, and is printed in the report as it stands.

    Examples
    --------
    >>> LabSheet(test="NSS", samples=["1", "2"]).entries()
    {'Test': 'NSS', 'Samples': '1, 2'}
    """

    test: str | None = Field(None, description="what was tested, and by which method, such as neutral salt spray")
    standard: str | None = Field(None, description="the standard and its edition, such as ISO 9227:2022 NSS")
    customer: str | None = Field(None, description="who ordered the test")
    order: str | None = Field(None, description="number of the order or of the report")
    laboratory: str | None = Field(None, description="who tested")
    chamber: str | None = Field(None, description="name of the test chamber, and its conditions")
    operator: str | None = Field(None, description="who put the parts in, and took the photos")
    lot: str | None = Field(None, description="lot of the parts")
    part: str | None = Field(None, description="number and name of the part")
    coating: str | None = Field(None, description="coating and its thickness, such as ZnNi 8 µm, passivated")
    samples: tuple[str, ...] = Field((), description="numbers of the samples, a list of texts")
    camera: str | None = Field(None, description="camera or microscope, and its settings")
    start: datetime.date | None = Field(None, description="date on which the exposure began, as 2026-01-31")
    end: datetime.date | None = Field(None, description="date on which the exposure ended, as 2026-01-31")
    dates: tuple[str, ...] = Field((), description="dates of the inspections, a list of texts")
    remarks: str | None = Field(None, description="anything else")

    @field_validator("*", mode="before")
    @classmethod
    def _nothing_is_none(cls, value: object) -> object:
        """Take an empty text as not given."""
        return None if value == "" else value

    @field_validator("samples", "dates", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Take one text as a list that commas separate."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return () if value is None else value

    def entries(self) -> dict[str, str]:
        """Return what is given as label -> text, in the order of the report."""
        found = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if value:
                found[name.capitalize()] = ", ".join(value) if isinstance(value, tuple) else str(value)
        return found


def load_sheet(path: Path) -> LabSheet:
    """Read a lab sheet from a YAML file; values are taken as they are written.

    Raises UserError, in one line, for a file that cannot be read, an unknown entry or a value of another kind.
    """
    try:
        return load_settings(LabSheet, path, as_text=True)
    except UserError as error:
        named = str(error) if str(path) in str(error) else f"{path}: {error}"
        raise UserError(f"--sheet: {named}") from None
