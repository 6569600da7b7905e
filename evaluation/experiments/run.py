"""Run the cells of an experiment. Each cell's result is a folder of its own, so that a run that was stopped goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from fastener.common.errors import UserError
from fastener.common.files import check_writable, write_atomically
from fastener.evaluation.categories import category_metrics, measure_category
from fastener.evaluation.experiments.cells import Cell, Part, cells_of, parts_of
from fastener.evaluation.experiments.results import METRICS_FILE, Results, read_metrics
from fastener.evaluation.experiments.settings import ALL, Experiment
from fastener.evaluation.measure import summarise
from fastener.evaluation.region_curves import RegionCurves
from fastener.evaluation.runtime import measured_runtime
from fastener.evaluation.score_tables import write_scores
from fastener.inspection.inspector import Inspector
from fastener.models.layer_memory import LayerMemory
from fastener.models.progress import Progress, no_progress

Warn = Callable[[str], None]


def run_experiment(
    experiment: Experiment,
    output: Path,
    *,
    weights: Path | None = None,
    progress: Progress = no_progress,
    warn: Warn = lambda line: None,
) -> Results:
    """Train and measure each cell that is not done, and return the results of all.

    Parameters
    ----------
    experiment : Experiment
        What is measured.
    output : Path
        Folder of the results: ``cells/<data>/<method>/<n>-photos/seed-<s>`` holds metrics.json, scores.csv, scores.npz
        and, with pixel metrics, regions.npz of a cell.
    weights : Path, optional
        File of the backbone's weights.
    warn : callable
        Takes a line for each cell that cannot be measured; the other cells go on.

    Raises
    ------
    UserError
        If a data set cannot be read, or ``output`` cannot be written.
    """
    check_writable(output / "results.csv")
    groups = parts_of(experiment)
    cells = list(cells_of(experiment, groups))
    memory = LayerMemory(cells[0].config(experiment).run.memory_limit_mb * 2**20)
    shown: tuple[Part, ...] = ()
    errors: dict[str, str] = {}
    for cell in _with_names(progress(cells, len(cells), "cells")):
        if cell.parts != shown:
            memory.forget()
            shown = cell.parts
        try:
            run_cell(cell, experiment, output, memory, weights=weights)
        except UserError as error:
            errors[cell.title] = str(error)
            warn(f"{cell.title}: {error}")
    return Results.read(experiment, output, cells, errors)


def run_cell(
    cell: Cell, experiment: Experiment, output: Path, memory: LayerMemory, *, weights: Path | None = None
) -> None:
    """Train the model of a cell and measure it on its parts, unless an earlier run has. Raises UserError."""
    identity = cell.identity(experiment)
    folders = {part.name: cell.folder(output, part) for part in cell.parts}
    if all((read_metrics(folder) or {}).get("measured_by") == identity for folder in folders.values()):
        return
    clocks = _clocks()
    photos = cell.training_photos()
    config = cell.config(experiment)
    inspector = Inspector.fit(photos, config, weights=weights, warn=lambda line: None, memory=memory, report=False)
    first = cell.seed == experiment.seed
    for part in cell.parts:
        category = cell.measured(part, experiment)
        measurement, _ = measure_category(inspector, category)
        if not measurement.inspections:
            raise UserError(f"none of the {len(measurement.failures)} test images of {part.name} could be read")
        wanted = experiment.pixels == "always" or (experiment.pixels == "all" and cell.shots == ALL)
        curves = RegionCurves.for_maps([one.map for one in measurement.inspections]) if wanted else None
        metrics = category_metrics(measurement, None, curves=curves) if wanted else summarise(measurement)
        metrics |= _facts(cell, part, inspector, len(photos), identity)
        if first and cell.shots == experiment.most_shots:
            with memory.paused():
                metrics["runtime"] = measured_runtime(inspector, [image.path for image in measurement.images])
        folder = folders[part.name]
        write_scores(measurement, folder)
        if curves is not None:
            curves.write(folder)
        if first and cell.shots == ALL and experiment.robustness:
            _measure_robustness(inspector, part, folder, experiment.seed)
        begun, clocks = clocks, _clocks()
        metrics["cost"] = {name: round(clocks[name] - begun[name], 3) for name in clocks}
        # Last, because its presence says that the cell is done.
        write_atomically(folder / METRICS_FILE, json.dumps(metrics, indent=2, allow_nan=False) + "\n")


def _clocks() -> dict[str, float]:
    """Read the seconds that this process has computed, on all its cores, and those that have passed."""
    return {"cpu_s": time.process_time(), "wall_s": time.perf_counter()}


def _facts(cell: Cell, part: Part, inspector: Inspector, n_train: int, identity: str) -> dict[str, Any]:
    return {
        "data": part.name,
        "method": cell.method,
        "shots": cell.shots,
        "seed": cell.seed,
        "n_train": n_train,
        "multi_class": len(cell.parts) > 1,
        "evidence_kinds": list(inspector.evidence),
        "backbone": inspector.backbone,
        "threshold_source": inspector.threshold_source,
        "measured_by": identity,
    }


def _measure_robustness(inspector: Inspector, part: Part, folder: Path, seed: int) -> None:
    from fastener.evaluation.robustness import robustness, write_robustness

    write_robustness(robustness(inspector, part.category.test, seed=seed), folder)


def _with_names(cells: Iterable[Cell]) -> Iterable[Cell]:
    """Say on the bar, where there is one, which cell is at work."""
    name = getattr(cells, "set_postfix_str", None)
    for cell in cells:
        if name is not None:
            name(f"{cell.parts[0].name} {cell.method} {cell.shots}")
        yield cell
