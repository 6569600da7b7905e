"""Measure a model on labelled photos: AUROC with its interval, decisions at the threshold, plots of both."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from fastener.commands import category, cli, threshold_search
from fastener.common.errors import UserError
from fastener.common.files import check_writable, write_atomically
from fastener.config import Config

if TYPE_CHECKING:
    from fastener.evaluation.measure import Measurement

EXAMPLE = "python evaluate.py --data-dir data --split test   or   python evaluate.py --data-dir data --cross-validate 5"


def main() -> int:
    arguments = _arguments()
    config = cli.config_from(
        arguments,
        model__backbone=arguments.backbone,
        calibration__alpha=arguments.alpha,
        run__seed=arguments.seed,
        evidence=arguments.evidence,
    )
    if not arguments.cross_validate:
        cli.keep_model_settings(arguments, "backbone", "evidence", "alpha")
    if arguments.mvtec_dir is not None:
        return category.evaluate(arguments, config)
    check_writable(arguments.output / "metrics.json")
    measurement = _measure(arguments, config)
    if not measurement.inspections:
        raise UserError(
            f"nothing to score in {arguments.data_dir}: {len(measurement.seen)} images are in the model, "
            f"{len(measurement.failures)} cannot be read"
        )

    from fastener.evaluation.measure import summarise
    from fastener.evaluation.report import text_summary, write_plots

    metrics = summarise(measurement, config.run.seed)
    metrics["protocol"] = f"{arguments.cross_validate}-fold" if arguments.cross_validate else "held out"
    metrics["splits"] = arguments.split
    metrics["threshold_source"] = arguments.threshold_source
    write_atomically(arguments.output / "metrics.json", json.dumps(metrics, indent=2, allow_nan=False) + "\n")
    if not arguments.no_plots:
        write_plots(measurement, metrics, arguments.output)
    print(text_summary(metrics))
    print(f"wrote {arguments.output}")
    if arguments.optimize_threshold:
        threshold_search.store(arguments, measurement, arguments.model or cli.DEFAULT_MODEL, "test" in arguments.split)
    for failure in measurement.failures:
        cli.warn(failure.error)
    return cli.EXIT_SOME_FAILED if measurement.failures else cli.EXIT_OK


def _arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__, EXAMPLE)
    parser.add_argument("--data-dir", type=Path, metavar="D", help="folder with train|valid|test/_classes.csv")
    parser.add_argument(
        "--split", type=cli.names, metavar="S", help="splits to score, e.g. test or valid,test (default: test)"
    )
    parser.add_argument("--model", type=Path, metavar="M", help=f"default: {cli.DEFAULT_MODEL}")
    parser.add_argument(
        "--cross-validate", type=int, metavar="K", help="fit K times instead of loading a model (default: all splits)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("outputs/evaluation"), metavar="D", help="default: outputs/evaluation"
    )
    parser.add_argument("--no-plots", action="store_true", help="write metrics.json only")
    cli.add_label_flags(parser.add_argument_group("labels"))
    model = parser.add_argument_group("the models of --cross-validate")
    cli.add_model_flags(model)
    model.add_argument("--seed", type=int, metavar="N", help="source of every random draw (default: 42)")
    category.add_flags(parser, methods=(*category.METHODS, "all"))
    threshold_search.add_flags(parser)
    parser.add_argument("--force", action="store_true", help="measure categories again that are done")
    arguments = parser.parse_args()
    if (arguments.data_dir is None) == (arguments.mvtec_dir is None):
        parser.error("name the labelled photos: --data-dir or --mvtec-dir")
    category.check_flags(parser, arguments)
    if arguments.mvtec_dir is not None and arguments.cross_validate is not None:
        parser.error("--cross-validate is for --data-dir; categories have test images of their own")
    if arguments.cross_validate is not None and arguments.cross_validate < 2:
        parser.error("--cross-validate needs at least 2 folds")
    if arguments.cross_validate is not None and arguments.optimize_threshold:
        parser.error("--optimize-threshold moves the threshold of a saved model; leave --cross-validate out")
    return arguments


def _measure(arguments: argparse.Namespace, config: Config) -> Measurement:
    from fastener.datasets.csv_splits import SPLIT_NAMES, load_splits
    from fastener.evaluation.measure import cross_validate, measure
    from fastener.inspection.inspector import Inspector

    wanted = arguments.split
    if wanted is None:
        wanted = None if arguments.cross_validate else ("test",)
    elif unknown := [name for name in wanted or ("",) if name not in SPLIT_NAMES]:
        raise UserError(f"--split {unknown[0]!r}: one of {', '.join(SPLIT_NAMES)}, or several with commas")
    splits = load_splits(arguments.data_dir, wanted, arguments.defect_columns, arguments.healthy_columns)
    arguments.split = [split.name for split in splits]
    for split in splits:
        cli.report_split(split)
    images = [image for split in splits for image in split.images]
    if arguments.optimize_threshold:
        threshold_search.require_permission(arguments, "test" in arguments.split)
    if arguments.cross_validate:
        arguments.threshold_source = "healthy training photos of each fold"
        return cross_validate(images, config, arguments.cross_validate, arguments.weights, cli.progress, cli.warn)
    inspector = Inspector.load(arguments.model or cli.DEFAULT_MODEL, config.run.device, arguments.weights, config.run)
    arguments.threshold_source = inspector.threshold_source
    measurement = measure(inspector, images, cli.progress)
    if measurement.seen:
        print(f"left out {len(measurement.seen)} images that the model was trained on, or copies of those")
    return measurement


if __name__ == "__main__":
    cli.run(main)
