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
from fastener.evaluation.category_report import write_category_plots
from fastener.evaluation.kept_maps import FOLDER as MAPS
from fastener.evaluation.measure import Measurement
from fastener.evaluation.region_curves import RegionCurves
from fastener.evaluation.runtime import measured_runtime
from fastener.evaluation.score_tables import write_scores
from fastener.evaluation.summary_table import (
    defect_rows,
    defects_csv,
    defects_markdown,
    summary_csv,
    summary_markdown,
    summary_rows,
)
from fastener.inspection.inspector import Inspector
from fastener.models.progress import Progress, no_progress

METRICS_FILE = "metrics.json"


@dataclass(frozen=True)
class Judged:
    """What is reported of a measurement.

    Parameters
    ----------
    measurement : Measurement
        The images whose figures are reported, as they are judged.
    facts : dict
        Entries for metrics.json beside the figures: ``threshold_source`` and whatever else is to be known.
    validation : Measurement or None
        Images that were left out of the figures because the threshold was chosen on them.
    """

    measurement: Measurement
    facts: dict[str, Any]
    validation: Measurement | None = None


def as_shipped(name: str, inspector: Inspector, measurement: Measurement) -> Judged:
    """Report all images, judged by the threshold of the model."""
    return Judged(measurement, {"threshold_source": inspector.threshold_source})


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
    judged: Callable[[str, Inspector, Measurement], Judged] = as_shipped,
    find_copies: bool = False,
    keep_maps: bool = False,
    progress: Progress = no_progress,
) -> CategoryRuns:
    """Evaluate the named categories: write metrics, scores and plots to ``<output>/<name>``, and a summary.

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
        Lines below the table of summary.md. That file, summary.csv and defects.csv are written for more than one
        category.
    identity : callable
        Identifies the model and the data of a category. Metrics of an earlier run are reused while it is the same;
        None: they are reused in any case.
    judged : callable
        Called with the name, the model and the measurement of each category that is measured in this run, to say which
        images are reported, by which threshold. A UserError that it raises costs this category alone.
    find_copies : bool
        Tell copies of one photo among the test images, see ``measure_category``.
    keep_maps : bool
        Keep the anomaly maps beside the scores, see ``kept_maps``. A category without them is measured again.
    """
    runs = CategoryRuns()
    names = list(names)
    for name in names:
        folder = output / name
        try:
            measured_by = identity(name)
            has_maps = not keep_maps or (folder / MAPS).is_dir()
            done = _finished(folder / METRICS_FILE, measured_by) if has_maps and not force else None
            if done is not None:
                runs.metrics[name] = done
                runs.resumed.append(name)
                continue
            inspector = load_model(name)
            measurement, seconds = measure_category(inspector, load_category(name), progress, find_copies=find_copies)
            if not measurement.inspections:
                raise UserError(f"none of the {len(measurement.failures)} test images of {name} could be read")
            runs.failures += [failure.error for failure in measurement.failures]
            report = judged(name, inspector, measurement)
            curves = RegionCurves.for_maps([one.map for one in report.measurement.inspections])
            metrics = category_metrics(report.measurement, seconds, progress, curves=curves) | report.facts
            metrics |= {"category": name, "evidence_kinds": list(inspector.evidence), "backbone": inspector.backbone}
            metrics["runtime"] = measured_runtime(inspector, [image.path for image in measurement.images])
            runs.metrics[name] = metrics | {"measured_by": measured_by}
            curves.write(folder)
            _write(report, runs.metrics[name], folder, plots, keep_maps)
        except UserError as error:
            runs.errors[name] = str(error)
    if len(names) > 1 and runs.metrics:
        failed = [error if error.startswith(f"{name}: ") else f"{name}: {error}" for name, error in runs.errors.items()]
        _write_summary(runs.metrics, output, [*notes, *failed])
    return runs


def _write(report: Judged, metrics: dict[str, Any], folder: Path, plots: bool, keep_maps: bool) -> None:
    """Write what is known of a category: its scores, plots and metrics."""
    write_scores(report.measurement, folder, report.validation, keep_maps=keep_maps)
    if plots:
        write_category_plots(report.measurement, metrics, folder)
    # Last, because its presence says that the category is done.
    write_atomically(folder / METRICS_FILE, json.dumps(metrics, indent=2, allow_nan=False) + "\n")


def _write_summary(metrics: dict[str, dict[str, Any]], output: Path, notes: list[str]) -> None:
    """Write summary.csv and defects.csv with all figures, and summary.md with those that matter most."""
    rows, defects = summary_rows(metrics), defect_rows(metrics)
    write_atomically(output / "summary.csv", summary_csv(rows))
    write_atomically(output / "defects.csv", defects_csv(defects))
    text = summary_markdown(rows, notes)
    write_atomically(output / "summary.md", f"{text}\n{defects_markdown(defects)}" if defects else text)


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
