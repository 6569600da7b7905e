"""Evaluate many categories, a folder of results each: resumable, and a failing category does not stop the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastener.common.errors import UserError
from fastener.common.files import write_atomically
from fastener.datasets.mvtec import load_category
from fastener.evaluation.categories import category_metrics, measure_category
from fastener.evaluation.category_report import summary_csv, summary_markdown, summary_rows, write_category_plots
from fastener.evaluation.measure import Measurement
from fastener.inspection.inspector import Inspector
from fastener.models.progress import Progress, no_progress

METRICS_FILE = "metrics.json"


@dataclass
class CategoryRuns:
    """What came of each category: its metrics, or why there are none. ``resumed`` were done by an earlier run;
    ``failures`` says of each image that could not be read why."""

    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)


def evaluate_categories(
    root: Path,
    names: Iterable[str],
    load_model: Callable[[str], Inspector],
    output: Path,
    force: bool = False,
    plots: bool = True,
    notes: Iterable[str] = (),
    identity: Callable[[str], str | None] = lambda name: None,
    after: Callable[[str, Measurement], object] | None = None,
    progress: Progress = no_progress,
) -> CategoryRuns:
    """Evaluate the categories ``names`` of ``root``; write ``<output>/<name>/metrics.json`` and plots, and a summary.

    ``load_model`` gives a category's model, or raises UserError. Where metrics.json is there it is taken as it is,
    unless ``force``, or ``identity``, which says by what a category is measured, has changed since. ``after`` is called
    with each category measured anew. With several categories, summary.csv and summary.md hold the table with means,
    and ``notes``.
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
            runs.metrics[name], measurement = _evaluate_one(
                root, name, load_model(name), folder, plots, measured_by, progress
            )
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


def _evaluate_one(
    root: Path,
    name: str,
    inspector: Inspector,
    folder: Path,
    plots: bool,
    measured_by: str | None,
    progress: Progress,
) -> tuple[dict[str, Any], Measurement]:
    measurement, seconds = measure_category(inspector, load_category(root, name), progress)
    if not measurement.inspections:
        raise UserError(f"none of the {len(measurement.failures)} test images of {name} could be read")
    metrics = category_metrics(measurement, seconds, progress)
    metrics |= {"category": name, "evidence_kinds": list(inspector.evidence), "backbone": inspector.backbone}
    metrics |= {"threshold_source": inspector.threshold_source, "measured_by": measured_by}
    if plots:
        write_category_plots(measurement, metrics, folder)
    # Last, because its presence says that the category is done.
    write_atomically(folder / METRICS_FILE, json.dumps(metrics, indent=2, allow_nan=False) + "\n")
    return metrics, measurement


def _finished(path: Path, measured_by: str | None) -> dict[str, Any] | None:
    """The metrics of an earlier run; None if there are none, the file is not whole, or they were measured by another
    model or on other images. Without a model to compare with they are taken as they are."""
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(metrics, dict) or "image_auroc" not in metrics:
        return None
    return metrics if measured_by in (None, metrics.get("measured_by")) else None
