"""Run the cells of an experiment. Each cell's result is a folder of its own, so that a run that was stopped goes on."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import chdir
from functools import lru_cache
from pathlib import Path
from typing import Any

from fastener.common.errors import UserError
from fastener.common.files import check_writable, write_atomically
from fastener.evaluation.categories import category_metrics, measure_category
from fastener.evaluation.experiments.anomalib_bridge import AnomalibModel, without_verdicts
from fastener.evaluation.experiments.cells import Cell, Part, cells_of, parts_of
from fastener.evaluation.experiments.results import METRICS_FILE, Results, read_metrics
from fastener.evaluation.experiments.settings import ALL, Experiment
from fastener.evaluation.measure import Measurement, summarise
from fastener.evaluation.region_curves import RegionCurves
from fastener.evaluation.runtime import measured_runtime
from fastener.evaluation.score_tables import write_scores
from fastener.inspection.inspector import Inspector
from fastener.inspection.registry import ANOMALIB
from fastener.models.layer_memory import LayerMemory
from fastener.models.progress import Progress, no_progress

Warn = Callable[[str], None]
# Measures cells elsewhere: yields each with the files of its results by path below the output, or why there are none.
Spread = Callable[[Sequence[Cell]], Iterable[tuple[Cell, Mapping[str, bytes] | UserError]]]


def run_experiment(
    experiment: Experiment,
    output: Path,
    *,
    weights: Path | None = None,
    progress: Progress = no_progress,
    warn: Warn = lambda line: None,
    spread: Spread | None = None,
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
    spread : callable, optional
        Measures the cells on other machines; without it they are measured here, one after another.

    Raises
    ------
    UserError
        If a data set cannot be read, or ``output`` cannot be written.
    """
    check_writable(output / "results.csv")
    groups = parts_of(experiment)
    cells = list(cells_of(experiment, groups))
    errors: dict[str, str] = {}

    def failed(cell: Cell, error: UserError) -> None:
        errors[cell.title] = str(error)
        warn(f"{cell.title}: {error}")

    waiting = []
    for cell in cells:
        try:
            if not _is_done(cell, experiment, output):
                waiting.append(cell)
        except UserError as error:
            failed(cell, error)
    if spread is None:
        memory = LayerMemory(_limit(cells[0], experiment))
        for cell in _with_names(progress(waiting, len(waiting), "cells")):
            try:
                run_cell(cell, experiment, output, memory, weights=weights)
            except UserError as error:
                failed(cell, error)
    elif waiting:
        for cell, found in progress(spread(waiting), len(waiting), "cells"):
            if isinstance(found, UserError):
                failed(cell, found)
            else:
                _keep(cell, experiment, output, found)
    return Results.read(experiment, output, cells, errors)


def files_of_cell(cell: Cell, experiment: Experiment, start: Path, weights: Path | None) -> dict[str, bytes]:
    """Measure a cell on another machine: the files of its results, by path below the output. Raises UserError.

    ``start`` is the folder from which the paths of the experiment start.
    """
    if not os.access(start, os.X_OK):
        raise UserError(f"a worker does not see {start}: start from a folder that all machines share")
    with tempfile.TemporaryDirectory() as folder, chdir(start):
        run_cell(cell, experiment, Path(folder), _memory_of_process(_limit(cell, experiment)), weights=weights)
        written = (path for path in sorted(Path(folder).rglob("*")) if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in written}


def _limit(cell: Cell, experiment: Experiment) -> int:
    return cell.config(experiment).run.memory_limit_mb * 2**20


@lru_cache(maxsize=1)
def _memory_of_process(limit: int) -> LayerMemory:
    """The memory of a worker, which measures one cell after another."""
    return LayerMemory(limit)


def _is_done(cell: Cell, experiment: Experiment, output: Path) -> bool:
    identity = cell.identity(experiment)
    folders = (cell.folder(output, part) for part in cell.parts)
    return all((read_metrics(folder) or {}).get("measured_by") == identity for folder in folders)


def _keep(cell: Cell, experiment: Experiment, output: Path, files: Mapping[str, bytes]) -> None:
    """Write what ``files_of_cell`` returned, as if this machine had measured it: times of files can differ there."""
    identity = cell.identity(experiment)
    for name, content in sorted(files.items(), key=lambda one: one[0].endswith(METRICS_FILE)):
        if name.endswith(METRICS_FILE):
            content = json.dumps({**json.loads(content), "measured_by": identity}, indent=2).encode() + b"\n"
        write_atomically(output / name, content)


def run_cell(
    cell: Cell, experiment: Experiment, output: Path, memory: LayerMemory, *, weights: Path | None = None
) -> None:
    """Train the model of a cell and measure it on its parts. Raises UserError.

    ``memory`` lets go of other parts' photos.
    """
    identity, clocks = cell.identity(experiment), _clocks()
    memory.keep_to(tuple(part.name for part in cell.parts))
    photos = cell.training_photos()
    model = _trained(cell, photos, experiment, memory, weights)
    for part in cell.parts:
        folder = cell.folder(output, part)
        metrics, measurement = _measured(model, cell, part, experiment, folder)
        metrics |= _facts(cell, part, len(photos), identity)
        if cell.seed == experiment.seed and isinstance(model, Inspector):
            if cell.shots == experiment.most_shots:
                with memory.paused():
                    metrics["runtime"] = measured_runtime(model, [image.path for image in measurement.images])
            if cell.shots == ALL and experiment.robustness:
                _measure_robustness(model, part, folder, experiment.seed)
        begun, clocks = clocks, _clocks()
        metrics["cost"] = {name: round(clocks[name] - begun[name], 3) for name in clocks}
        # Last, because its presence says that the cell is done.
        write_atomically(folder / METRICS_FILE, json.dumps(metrics, indent=2, allow_nan=False) + "\n")


def _trained(
    cell: Cell, photos: list[Path], experiment: Experiment, memory: LayerMemory, weights: Path | None
) -> Inspector | AnomalibModel:
    if cell.method.startswith(ANOMALIB):
        return AnomalibModel(cell.method).fit(photos, seed=cell.seed)
    config = cell.config(experiment)
    return Inspector.fit(photos, config, weights=weights, warn=lambda line: None, memory=memory, report=False)


def _measured(
    model: Inspector | AnomalibModel, cell: Cell, part: Part, experiment: Experiment, folder: Path
) -> tuple[dict[str, Any], Measurement]:
    """Measure the model on a part; write the scores, and with pixel metrics the curves of regions, to ``folder``."""
    category = cell.measured(part, experiment)
    measurement = measure_category(model, category)[0] if isinstance(model, Inspector) else model.measure(category)
    if not measurement.inspections:
        raise UserError(f"none of the {len(measurement.failures)} test images of {part.name} could be read")
    wanted = experiment.pixels == "always" or (experiment.pixels == "all" and cell.shots == ALL)
    curves = RegionCurves.for_maps([one.map for one in measurement.inspections]) if wanted else None
    metrics = category_metrics(measurement, None, curves=curves) if wanted else summarise(measurement)
    write_scores(measurement, folder)
    if curves is not None:
        curves.write(folder)
    if not isinstance(model, Inspector):
        return without_verdicts(metrics) | model.facts(), measurement
    by = {"evidence_kinds": list(model.evidence), "backbone": model.backbone}
    return metrics | by | {"threshold_source": model.threshold_source}, measurement


def _clocks() -> dict[str, float]:
    """Read the seconds that this process has computed, on all its cores, and those that have passed."""
    return {"cpu_s": time.process_time(), "wall_s": time.perf_counter()}


def _facts(cell: Cell, part: Part, n_train: int, identity: str) -> dict[str, Any]:
    return {
        "data": part.name,
        "method": cell.method,
        "shots": cell.shots,
        "seed": cell.seed,
        "n_train": n_train,
        "multi_class": len(cell.parts) > 1,
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
