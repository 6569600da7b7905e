"""Report the results of a benchmark as a Markdown table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastener.benchmarks.machine import Machine
from fastener.common.files import write_atomically

Row = Mapping[str, Any]


@dataclass
class Report:
    """Results of one benchmark.

    Attributes
    ----------
    title : str
        First line of the report.
    machine : Machine
        Machine on which the benchmark ran.
    rows : list of dict
        Rows of the table; columns are in the order in which they first appear.
    notes : list of str
        Lines below the table.
    """

    title: str
    machine: Machine
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Format the report in Markdown."""
        return "\n".join([f"{self.title}", self.machine.describe(), "", *table(self.rows), *self.notes])

    def write(self, path: Path) -> None:
        """Write the report as JSON, with all digits."""
        content = {
            "title": self.title,
            "machine": self.machine.as_dict(),
            "rows": self.rows,
            "notes": self.notes,
        }
        write_atomically(path, json.dumps(content, indent=2) + "\n")


def table(rows: Sequence[Row]) -> list[str]:
    """Format rows as lines of a Markdown table; None and missing values are "-"."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return lines + ["| " + " | ".join(shown(row.get(column)) for column in columns) + " |" for row in rows]


def shown(value: Any) -> str:
    """Format a value; a float gets three significant digits."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
