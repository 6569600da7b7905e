"""The work of evaluate.py: one model on the splits of a data set, or one model for each category and method."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastener.commands import cli, data, threshold_search
from fastener.common.errors import UserError
from fastener.common.files import check_writable, file_state, write_atomically
from fastener.config import Config
from fastener.inspection.registry import METHODS

if TYPE_CHECKING:
    from fastener.datasets.dataset import Dataset
    from fastener.evaluation.category_runs import CategoryRuns, Judged
    from fastener.evaluation.measure import Measurement
    from fastener.inspection.inspector import Inspector

# Figures of an earlier run are taken only if they were computed as this version computes them: raise it with a change.
_FIGURES = "figures 4"


def check_data(arguments: argparse.Namespace, dataset: Dataset) -> None:
    """Raise UserError if a model cannot be measured on this data set in the way that is asked for."""
    if not dataset.labelled:
        raise UserError(f"{dataset.root}: its photos have no labels to measure a model by; inference.py inspects them")
    if dataset.categories and (arguments.cross_validate is not None or arguments.split is not None):
        flag = "--split" if arguments.cross_validate is None else "--cross-validate"
        raise UserError(f"{flag} is for data without categories; {dataset.root} has test images for each of its own")


def evaluate_splits(arguments: argparse.Namespace, config: Config, dataset: Dataset) -> int:
    """Measure one model on the chosen splits; write metrics, scores and plots, and print a summary."""
    from fastener.evaluation.report import text_summary, write_plots
    from fastener.evaluation.score_tables import write_scores

    check_writable(arguments.output / "metrics.json")
    splits = _splits(arguments, dataset)
    if arguments.optimize_threshold:
        threshold_search.require_permission(arguments, "test" in splits)
    report = _measure(arguments, config, dataset, splits)
    measurement = report.measurement
    metrics = _computed(measurement, config.run.seed, arguments.output) | report.facts | {"splits": splits}
    write_scores(measurement, arguments.output, report.validation, keep_maps=arguments.keep_maps)
    write_atomically(arguments.output / "metrics.json", json.dumps(metrics, indent=2, allow_nan=False) + "\n")
    if not arguments.no_plots:
        write_plots(measurement, metrics, arguments.output)
    data.report_unused(dataset, [""])
    cli.report_notes((str(one.path), note) for one in measurement.inspections for note in one.notes)
    print(text_summary(metrics))
    print(f"wrote {arguments.output}")
    for failure in measurement.failures:
        cli.warn(failure.error)
    return cli.EXIT_SOME_FAILED if measurement.failures else cli.EXIT_OK


def _computed(measurement: Measurement, seed: int, output: Path) -> dict[str, Any]:
    """Compute the figures of images, and where defects are marked those of pixels, whose curves are written, too."""
    from fastener.evaluation.categories import category_metrics
    from fastener.evaluation.measure import summarise
    from fastener.evaluation.region_curves import RegionCurves

    if not any(image.has_mask for image in measurement.images):
        return summarise(measurement, seed)
    curves = RegionCurves.for_maps([one.map for one in measurement.inspections])
    metrics = category_metrics(measurement, None, cli.progress, seed, curves=curves)
    curves.write(output)
    if metrics["pixel_metrics_left_out"]:
        cli.say(f"no pixel metrics, because {metrics['pixel_metrics_left_out']}")
    return metrics


def evaluate_categories(arguments: argparse.Namespace, config: Config, dataset: Dataset) -> int:
    """Measure each category by each method, and print one table."""
    from fastener.evaluation.summary_table import defect_rows, defects_markdown, summary_markdown, summary_rows

    if arguments.optimize_threshold:
        # There is no validation split: all labelled photos are test data, unless --validate-share keeps some back.
        threshold_search.require_permission(arguments, on_test_data=True)
    methods = list(METHODS) if arguments.method == "all" else [arguments.method]
    names = data.categories(arguments, dataset)
    if arguments.model is not None and len(names) * len(methods) > 1:
        raise UserError("--model is one model of one category; leave it out with --all and --method all")
    check_writable(arguments.output / "summary.csv")
    rows, defects, failed = [], [], 0
    measured: dict[str, dict[str, Any]] = {}
    for method in methods:
        runs = _run(method, names, arguments, config, dataset)
        failed += len(runs.errors) + len(runs.failures)
        measured[method] = runs.metrics
        label = "" if len(methods) == 1 else f" ({method})"
        rows += [{**row, "category": f"{row['category']}{label}"} for row in summary_rows(runs.metrics)]
        defects += [{**row, "category": f"{row['category']}{label}"} for row in defect_rows(runs.metrics)]
    data.report_unused(dataset, names)
    if rows:
        print(summary_markdown(rows), end="")
        if len(names) == 1 and len(defects) > len(methods):
            print(f"\n{defects_markdown(defects)}", end="")
        if len(methods) > 1:
            _compare_methods(measured, arguments.output)
        print(f"wrote {arguments.output}")
    return cli.EXIT_SOME_FAILED if failed else cli.EXIT_OK


def _compare_methods(measured: Mapping[str, Mapping[str, dict[str, Any]]], output: Path) -> None:
    """Print and write tables of all methods side by side, the best in bold."""
    from fastener.evaluation.result_tables import Estimate, by_method

    for metric, title in (("image_auroc", "image AUROC"), ("aupro", "AUPRO")):
        figures = {
            method: {name: Estimate.of_metrics(one, metric) for name, one in runs.items()}
            for method, runs in measured.items()
        }
        table = by_method(f"{title}, 95 % intervals", figures)
        if table.rows:
            table.write(output, f"methods_{metric}")
            print(f"\n{table.title}\n\n{table.to_markdown()}", end="")


def _splits(arguments: argparse.Namespace, dataset: Dataset) -> list[str]:
    """List the splits to score: those of --split, or else the test split, or all of them for cross-validation."""
    from fastener.datasets.dataset import SPLIT_NAMES, TEST

    if arguments.split is None:
        return list(dataset.splits) if arguments.cross_validate else [TEST]
    if unknown := [name for name in arguments.split or ("",) if name not in SPLIT_NAMES]:
        raise UserError(f"--split {unknown[0]!r}: one of {', '.join(SPLIT_NAMES)}, or several with commas")
    return list(arguments.split)


def _measure(arguments: argparse.Namespace, config: Config, dataset: Dataset, splits: list[str]) -> Judged:
    """Inspect the images of the splits, and search for a threshold if that is asked for."""
    from fastener.evaluation.category_runs import Judged
    from fastener.evaluation.measure import cross_validate, measure
    from fastener.evaluation.runtime import measured_runtime
    from fastener.inspection.inspector import Inspector

    images = [image for name in splits for image in data.report(dataset.read(name, "")).images]
    if arguments.cross_validate:
        measurement = cross_validate(
            images, config, arguments.cross_validate, weights=arguments.weights, progress=cli.progress, warn=cli.warn
        )
        facts = {
            "threshold_source": "healthy training photos of each fold",
            "protocol": f"{arguments.cross_validate}-fold",
        }
        return Judged(_scored(measurement, arguments), facts)
    model = arguments.model or cli.DEFAULT_MODEL
    inspector = Inspector.load(model, config.run.device, weights=arguments.weights, run=config.run)
    measurement = measure(inspector, images, cli.progress)
    if measurement.seen:
        print(f"left out {len(measurement.seen)} images that the model was trained on, or copies of those")
    judged = threshold_search.judged(
        arguments,
        inspector,
        _scored(measurement, arguments),
        model=model,
        seed=config.run.seed,
        on_test_data="test" in splits,
    )
    judged.facts["runtime"] = measured_runtime(inspector, [image.path for image in measurement.images])
    return judged


def _scored(measurement: Measurement, arguments: argparse.Namespace) -> Measurement:
    """Return the measurement. Raises UserError if no image has a score."""
    if not measurement.inspections:
        raise UserError(
            f"nothing to score in {arguments.data_dir}: {len(measurement.seen)} images are in the model, "
            f"{len(measurement.failures)} cannot be read"
        )
    healthy = [image for image in measurement.seen if not image.is_anomalous]
    if healthy and measurement.labels.all():
        raise UserError(
            f"all {len(healthy)} good photos are in the model or copies of photos in it, such as {healthy[0].path}; "
            "measure it on good photos that it was not trained on"
        )
    return measurement


def _run(
    method: str, names: list[str], arguments: argparse.Namespace, config: Config, dataset: Dataset
) -> CategoryRuns:
    """Measure the categories by one method, and print what is not in the table."""
    from fastener.evaluation.category_runs import evaluate_categories

    output = arguments.output if method == "patchcore" else arguments.output / method
    runs = evaluate_categories(
        names,
        dataset.category,
        partial(_load, method=method, arguments=arguments, config=config),
        output,
        force=arguments.force or arguments.optimize_threshold,
        plots=not arguments.no_plots,
        identity=partial(_identity, method=method, arguments=arguments, dataset=dataset, seed=config.run.seed),
        judged=partial(_judged, method=method, arguments=arguments, seed=config.run.seed),
        find_copies=arguments.optimize_threshold or arguments.validate_share is not None,
        keep_maps=arguments.keep_maps,
        progress=cli.progress,
    )
    for name in runs.resumed:
        cli.say(f"{name}: taken from {output / name} (--force measures again)")
    for error in (*runs.errors.values(), *runs.failures):
        cli.warn(error)
    for name, metrics in runs.metrics.items():
        if metrics["pixel_metrics_left_out"]:
            cli.say(f"{name}, {method}: no pixel metrics, because {metrics['pixel_metrics_left_out']}")
    return runs


def _load(name: str, method: str, arguments: argparse.Namespace, config: Config) -> Inspector:
    from fastener.inspection.inspector import Inspector

    path = _model(arguments, name, method)
    if not path.exists():
        raise UserError(
            f"{name}: no model at {path}; train it with "
            f"python train.py --data-dir {arguments.data_dir} --category {name} --method {method}"
        )
    return Inspector.load(path, config.run.device, weights=arguments.weights, run=config.run)


def _identity(name: str, method: str, arguments: argparse.Namespace, dataset: Dataset, seed: int) -> str | None:
    """Identify what a category's figures depend on: its model, its images, and how they are judged.

    Of an image and its mask the name, the size and the time of the last change count. None without a model.
    """
    from fastener.inspection.model_folder import file_of

    file = file_of(_model(arguments, name, method))
    if not file.is_file():
        return None
    images = hashlib.sha256()
    for image in dataset.category(name).test:
        images.update(repr(image).encode("utf-8", "backslashreplace"))  # labels and masks may come from a table
        for path in (image.path, image.mask_path):
            images.update(file_state(path))
    model = hashlib.sha256(file.read_bytes()).hexdigest()
    split = "" if arguments.validate_share is None else f" validation {arguments.validate_share:g} seed {seed}"
    search = f" for {threshold_search.purpose(arguments)}" if arguments.optimize_threshold else ""
    return f"{model} {images.hexdigest()} {(dataset.root / name).resolve()} {_FIGURES}{split}{search}"


def _judged(
    name: str,
    inspector: Inspector,
    measurement: Measurement,
    *,
    method: str,
    arguments: argparse.Namespace,
    seed: int,
) -> Judged:
    model = _model(arguments, name, method)
    return threshold_search.judged(arguments, inspector, measurement, model=model, seed=seed, on_test_data=True)


def _model(arguments: argparse.Namespace, name: str, method: str) -> Path:
    return arguments.model if arguments.model is not None else data.model_path(name, method, arguments.layout)
