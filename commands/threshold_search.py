"""Find a threshold on labelled photos and store it in a copy of the model, for evaluate.py --optimize-threshold."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fastener.commands import cli
from fastener.common.errors import UserError

if TYPE_CHECKING:
    from fastener.evaluation.measure import Measurement


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add --optimize-threshold, its objectives and --on-test-data."""
    group = parser.add_argument_group("threshold search")
    group.add_argument("--optimize-threshold", action="store_true", help="store a threshold in a copy of the model")
    group.add_argument(
        "--on-test-data", action="store_true", help="allow the search on test data; every output then says so"
    )
    objective = group.add_mutually_exclusive_group()
    objective.add_argument("--objective", choices=["f1"], help="maximise F1 (default)")
    objective.add_argument(
        "--max-false-alarms", type=_share, metavar="S", help="flag at most this share of the good photos"
    )
    objective.add_argument("--min-recall", type=_share, metavar="S", help="find at least this share of the defects")


def require_permission(arguments: argparse.Namespace, on_test_data: bool) -> None:
    """Raise UserError if test data would choose the threshold without --on-test-data."""
    if on_test_data and not arguments.on_test_data:
        raise UserError(
            "--optimize-threshold would choose on the test data that is reported; use a validation split "
            "(--split valid), or say --on-test-data"
        )


def store(arguments: argparse.Namespace, measurement: Measurement, model: Path, on_test_data: bool) -> Path:
    """Choose the threshold and save ``<model>-threshold.pkl``. Raises UserError if the labels do not allow it."""
    from fastener.evaluation.thresholds import threshold_for_f1, threshold_for_false_alarms, threshold_for_recall
    from fastener.inspection.inspector import Inspector

    labels, scores = measurement.labels, measurement.scores
    try:
        if arguments.max_false_alarms is not None:
            threshold = threshold_for_false_alarms(labels, scores, arguments.max_false_alarms)
            objective = f"at most {arguments.max_false_alarms:.1%} false alarms"
        elif arguments.min_recall is not None:
            threshold = threshold_for_recall(labels, scores, arguments.min_recall)
            objective = f"at least {arguments.min_recall:.1%} recall"
        else:
            threshold, objective = threshold_for_f1(labels, scores), "the best F1"
    except ValueError as error:
        raise UserError(f"--optimize-threshold: {error}") from None
    data = "TEST DATA" if on_test_data else "validation data"
    source = f"{objective} on {len(labels)} photos of {data}"
    inspector = Inspector.load(model, "cpu", weights=arguments.weights)
    path = model.with_name(f"{model.stem}-threshold{model.suffix}")
    if model.is_dir():
        path.mkdir(exist_ok=True)
    inspector.with_threshold(threshold, source).save(path)
    cli.say(f"threshold {inspector.threshold:.4g} -> {threshold:.4g}, from {source}; saved {path}")
    return path


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} must lie in 0 to 1")
    return value
