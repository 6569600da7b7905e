"""Read the results of an experiment's cells, and join repeats into estimates with intervals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastener.common.errors import UserError
from fastener.evaluation.experiments.cells import Cell
from fastener.evaluation.experiments.settings import ALL, Experiment
from fastener.evaluation.result_tables import Estimate, Table, by_method

METRICS_FILE = "metrics.json"
# Metrics of tables by their name in metrics.json.
METRICS = {
    "image_auroc": "image AUROC",
    "image_aupr": "image AP",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO",
    "recall": "recall",
    "false_positive_rate": "false alarms",
}
_COLUMNS = ("data", "method", "shots", "seed", "n_train", "n_images", "n_good", "n_anomalous", "threshold")


@dataclass(frozen=True)
class Results:
    """What the cells of an experiment have measured.

    Parameters
    ----------
    experiment : Experiment
        What was to be measured.
    output : Path
        Folder of the results.
    cells : list of dict
        Content of metrics.json of each cell that is done, in the order of the experiment, with its ``folder``.
    errors : dict of str
        The reason why a cell could not be measured, by its place.
    missing : int
        Number of cells that are not done.
    """

    experiment: Experiment
    output: Path
    cells: list[dict[str, Any]]
    errors: Mapping[str, str] = field(default_factory=dict)
    missing: int = 0

    @classmethod
    def read(
        cls, experiment: Experiment, output: Path, cells: Sequence[Cell], errors: Mapping[str, str] | None = None
    ) -> Results:
        """Read what is there of ``cells``; results of other settings or photos are none of this experiment."""
        found, missing = [], 0
        for cell in cells:
            try:
                identity = cell.identity(experiment)
            except UserError:
                identity = ""
            for part in cell.parts:
                folder = cell.folder(output, part)
                metrics = read_metrics(folder)
                if metrics is not None and metrics.get("measured_by") == identity:
                    found.append({**metrics, "folder": folder})
                else:
                    missing += 1
        return cls(experiment, output, found, errors or {}, missing)

    @property
    def data(self) -> list[str]:
        """Names of the data sets, in order."""
        return list(dict.fromkeys(one["data"] for one in self.cells))

    @property
    def drawn_data(self) -> list[str]:
        """Names of the data sets on which models of drawn photos were measured, in order."""
        return list(dict.fromkeys(one["data"] for one in self.cells if one["shots"] != ALL))

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in order."""
        measured = {one["method"] for one in self.cells}
        asked = (*self.experiment.methods, *(self.experiment.drawn_methods or ()))
        return [method for method in dict.fromkeys(asked) if method in measured]

    @property
    def shots(self) -> list[int | str]:
        """Numbers of training photos that were measured, ascending, "all" last."""
        return sorted({one["shots"] for one in self.cells}, key=lambda one: (isinstance(one, str), one))

    def of(self, data: str, method: str, shots: int | str) -> list[dict[str, Any]]:
        """Return the cells of one place of a table: its repeats."""
        wanted = (data, method, shots)
        return [one for one in self.cells if (one["data"], one["method"], one["shots"]) == wanted]

    def estimate(self, data: str, method: str, shots: int | str, metric: str = "image_auroc") -> Estimate | None:
        """Estimate a metric from the repeats; None where none was measured."""
        cells = [one for one in self.of(data, method, shots) if one.get(metric) is not None]
        if not cells:
            return None
        if len(cells) > 1:
            return Estimate.of_repeats([one[metric] for one in cells])
        return Estimate.of_metrics(cells[0], metric)

    def table(self, metric: str = "image_auroc", shots: int | str = ALL) -> Table:
        """Table a metric by method and data set, with the mean of the data sets where there are several.

        The interval of one repeat is over test images; that of several over the photos that were drawn.
        """
        figures = {
            name: {data: self.estimate(data, name, shots, metric) for data in self.data} for name in self.methods
        }
        trained = "all healthy photos" if shots == ALL else f"{shots} healthy photo{'s' if shots != 1 else ''}"
        intervals = any(one is not None and one.low is not None for row in figures.values() for one in row.values())
        title = f"{METRICS[metric]}, trained on {trained}{', 95 % intervals' if intervals else ''}"
        return by_method(title, figures, "low" if metric == "false_positive_rate" else "high")

    def few_shot_table(self, data: str, metric: str = "image_auroc") -> Table:
        """Table a metric on one data set by method and number of training photos."""
        rows = [(name, [self.estimate(data, name, shots, metric) for shots in self.shots]) for name in self.methods]
        drawn = sum(shots != ALL for shots in self.shots)  # "all" comes last
        shown = [(name, row) for name, row in rows if any(row[:drawn])]
        title = f"{METRICS[metric]} on {data} by the number of healthy photos, 95 % intervals"
        return Table(title, ["method", *map(str, self.shots)], shown)

    def rows(self) -> list[dict[str, Any]]:
        """List one flat row a cell: where it belongs, its metrics, and the median time of a photo in ms."""
        return [
            {key: one.get(key) for key in (*_COLUMNS, *METRICS)} | {"p50_ms": (one.get("runtime") or {}).get("p50_ms")}
            for one in self.cells
        ]


def read_metrics(folder: Path) -> dict[str, Any] | None:
    """Read the metrics of a cell; None if it is not done, or the file is not whole."""
    try:
        metrics = json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return metrics if isinstance(metrics, dict) and "image_auroc" in metrics else None
