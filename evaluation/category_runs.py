"""Evaluate many categories into a folder each. A run can be resumed, and a failing category stops no other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastener.common.errors import UserError
from fastener.common.files import write_atomically
from fastener.datasets.dataset import Category
from fastener.evaluation.categories import category_metrics, measure_category
from fastener.evaluation.category_report import summary_csv, summary_markdown, summary_rows, write_category_plots
from fastener.evaluation.measure import Measurement
from fastener.inspection.inspector import Inspector
from fastener.models.progress import Progress, no_progress

METRICS_FILE = "metrics.json"


@dataclass
class CategoryRuns:
    """Outcome of evaluating several categories.

    Parameters
    ----------
    metrics : dict
        Metrics of each category that was measured, by name.
    errors : dict of str
        The reason why a category was not measured, by name.
    failures : list of str
        The reason for each image that could not be read.
    resumed : list of str
        Categories whose metrics an earlier run had written.
    """

    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)


def evaluate_categories(
    names: Iterable[str],
    load_category: Callable[[str], Category],
    load_model: Callable[[str], Inspector],
    output: Path,
    *,
    force: bool = False,
    plots: bool = True,
    notes: Iterable[str] = (),
    identity: Callable[[str], str | None] = lambda name: None,
    after: Callable[[str, Measurement], object] | None = None,
    progress: Progress = no_progress,
) -> CategoryRuns:
    """Evaluate the named categories: write ``<output>/<name>/metrics.json`` and plots for each, and a summary.

    Parameters
    ----------
    names : iterable of str
        Categories to evaluate.
    load_category, load_model : callable
        Give the images and the model of a category. A UserError that they raise costs this category alone.
    output : Path
        Folder of the results.
    force : bool
        Measure again even if an earlier run has written metrics.json.
    plots : bool
        Draw plots beside metrics.json.
    notes : iterable of str
        Lines below the table of summary.md, which is written, as summary.csv is, for more than one category.
    identity : callable
        Identifies the model and the data of a category. Metrics of an earlier run are reused while it is the same;
        None: they are reused in any case.
    after : callable or None
        Called with the name and the measurement of each category that was measured in this run.
    """
    runs = CategoryRuns()
    names = list(names)
    for name in names:
        folder = output / name
        measured_by = identity(name)
        done = None if force else _finished(folder / METRICS_FILE, measured_by)
        if done is not None:
            runs.metrics[name] = done
            runs.resumed.append(name)
            continue
        try:
            inspector = load_model(name)
            measurement, seconds = measure_category(inspector, load_category(name), progress)
            runs.metrics[name] = _write(measurement, seconds, inspector, folder, name, plots, measured_by, progress)
            runs.failures += [failure.error for failure in measurement.failures]
            if after is not None:
                after(name, measurement)
        except UserError as error:
            runs.errors[name] = str(error)
    if len(names) > 1 and runs.metrics:
        rows = summary_rows(runs.metrics)
        failed = [f"{name}: {error}" for name, error in runs.errors.items()]
        write_atomically(output / "summary.csv", summary_csv(rows))
        write_atomically(output / "summary.md", summary_markdown(rows, [*notes, *failed]))
    return runs


def _write(
    measurement: Measurement,
    seconds: float,
    inspector: Inspector,
    folder: Path,
    name: str,
    plots: bool,
    measured_by: str | None,
    progress: Progress,
) -> dict[str, Any]:
    """Compute a category's metrics and write them with their plots. Raises UserError if no image could be read."""
    if not measurement.inspections:
        raise UserError(f"none of the {len(measurement.failures)} test images of {name} could be read")
    metrics = category_metrics(measurement, seconds, progress)
    metrics |= {"category": name, "evidence_kinds": list(inspector.evidence), "backbone": inspector.backbone}
    metrics |= {"threshold_source": inspector.threshold_source, "measured_by": measured_by}
    if plots:
        write_category_plots(measurement, metrics, folder)
    # Last, because its presence says that the category is done.
    write_atomically(folder / METRICS_FILE, json.dumps(metrics, indent=2, allow_nan=False) + "\n")
    return metrics


def _finished(path: Path, measured_by: str | None) -> dict[str, Any] | None:
    """Read the metrics of an earlier run.

    None if there are none, if the file is not whole, or if the model or the images have changed since. With
    ``measured_by`` None there is no model to compare with, and the metrics are reused as they are.
    """
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(metrics, dict) or "image_auroc" not in metrics:
        return None
    return metrics if measured_by in (None, metrics.get("measured_by")) else None
