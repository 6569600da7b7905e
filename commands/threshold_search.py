"""Find a threshold on labelled photos and store it in a copy of the model, for evaluate.py --optimize-threshold."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastener.commands import cli
from fastener.common.errors import UserError

if TYPE_CHECKING:
    from fastener.evaluation.category_runs import Judged
    from fastener.evaluation.measure import Measurement
    from fastener.evaluation.threshold_search import Objective, ThresholdSearch
    from fastener.inspection.inspector import Inspector


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add --optimize-threshold, its objectives, --validate-share and --on-test-data."""
    group = parser.add_argument_group("threshold search")
    group.add_argument("--optimize-threshold", action="store_true", help="store a threshold in a copy of the model")
    group.add_argument(
        "--validate-share",
        type=_share,
        metavar="S",
        help="keep this share of the test photos of every kind, drawn by --seed, to choose the threshold on; figures "
        "are then of the remaining photos only",
    )
    group.add_argument(
        "--on-test-data", action="store_true", help="allow the search on test data; every output then says so"
    )
    objective = group.add_mutually_exclusive_group()
    objective.add_argument("--objective", choices=["f1"], help="maximise F1 (default)")
    objective.add_argument(
        "--max-false-alarms", type=_share, metavar="S", help="flag at most this share of the good photos"
    )
    objective.add_argument("--min-recall", type=_share, metavar="S", help="find at least this share of the defects")


def check_flags(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a usage error where flags of this module do not go together."""
    given = {
        "--objective": arguments.objective,
        "--max-false-alarms": arguments.max_false_alarms,
        "--min-recall": arguments.min_recall,
    }
    named = [flag for flag, value in given.items() if value is not None]
    if named and not arguments.optimize_threshold:
        parser.error(f"{named[0]} is for --optimize-threshold; add that flag")
    if arguments.validate_share is not None:
        if not 0 < arguments.validate_share < 1:
            parser.error("--validate-share must lie between 0 and 1, e.g. 0.3")
        if arguments.on_test_data:
            parser.error("--validate-share keeps photos for the search, --on-test-data reports them; name one of them")
        if arguments.cross_validate is not None:
            parser.error("--validate-share is for a saved model; leave --cross-validate out")


def require_permission(arguments: argparse.Namespace, on_test_data: bool) -> None:
    """Raise UserError if test data would choose the threshold without --on-test-data or --validate-share."""
    if on_test_data and not arguments.on_test_data and arguments.validate_share is None:
        raise UserError(
            "--optimize-threshold would choose on the test data that is reported; use a validation split "
            "(--split valid), keep a part of the test photos for it (--validate-share 0.3), or say --on-test-data"
        )


def purpose(arguments: argparse.Namespace) -> Objective:
    """Read the objective from the flags."""
    from fastener.evaluation.threshold_search import Objective

    if arguments.max_false_alarms is not None:
        return Objective("false alarms", arguments.max_false_alarms)
    if arguments.min_recall is not None:
        return Objective("recall", arguments.min_recall)
    return Objective("f1")


def judged(
    arguments: argparse.Namespace,
    inspector: Inspector,
    measurement: Measurement,
    *,
    model: Path,
    seed: int,
    on_test_data: bool,
) -> Judged:
    """Keep validation photos back and search for a threshold, as far as the flags ask for it.

    Without --validate-share all photos are reported as the model ships, whatever a search finds. With it, the remaining
    photos are judged by the threshold that the search takes. Raises UserError if the labels do not allow the search.
    """
    from fastener.evaluation.category_runs import Judged
    from fastener.evaluation.metrics import image_metrics
    from fastener.evaluation.validation_split import carve_validation

    share = arguments.validate_share
    facts: dict[str, Any] = {"threshold_source": inspector.threshold_source, "protocol": "held out"}
    if share is None:
        if arguments.optimize_threshold:
            data = f"{len(measurement.images)} photos of {'TEST DATA' if on_test_data else 'validation data'}"
            search = _searched(arguments, inspector, measurement, model, data, seed)
            facts["threshold_search"] = search.state()
            if not search.kept:
                cli.say(
                    f"  figures, tables and plots stay at the shipped threshold {search.shipped:.4g}: photos that "
                    "choose a threshold cannot judge it; --validate-share keeps some for the choice, judges on the rest"
                )
        return Judged(measurement, facts)
    validation, rest = carve_validation(measurement, share, seed)
    if not validation.images:
        raise UserError(f"--validate-share {share}: every kind of photo is there only once; no photo can be kept back")
    origin = f"kept back from the test photos (--validate-share {share:g}, seed {seed})"
    facts |= {
        "n_validation": len(validation.images),
        "validation": {"share": share, "seed": seed},
        "protocol": f"held out, without {len(validation.images)} photos {origin}",
    }
    if arguments.optimize_threshold:
        data = f"{len(validation.images)} validation photos {origin}"
        search = _searched(arguments, inspector, validation, model, data, seed)
        facts |= {"threshold_search": search.state(), "threshold_source": search.source(inspector.threshold_source)}
        facts["at_shipped_threshold"] = image_metrics(
            rest.labels, rest.scores, inspector.threshold, flagged=rest.flagged, groups=rest.groups, seed=seed
        ) | {"threshold": inspector.threshold}
        rest, validation = rest.judged_by(search.threshold), validation.judged_by(search.threshold)
    return Judged(rest, facts, validation)


def _searched(
    arguments: argparse.Namespace,
    inspector: Inspector,
    measurement: Measurement,
    model: Path,
    data: str,
    seed: int,
) -> ThresholdSearch:
    """Search, say what the search found, and save ``<model>-threshold.pkl``. Raises UserError."""
    from fastener.evaluation.threshold_search import search_threshold

    try:
        search = search_threshold(measurement, purpose(arguments), shipped=inspector.threshold, data=data, seed=seed)
    except ValueError as error:
        raise UserError(f"--optimize-threshold on {data}: {error}") from None
    path = _store(arguments, search, model)
    for line in search.lines():
        cli.say(line)
    cli.say(f"  saved {path}, which judges by {search.threshold:.4g}")
    return search


def _store(arguments: argparse.Namespace, search: ThresholdSearch, model: Path) -> Path:
    """Save a copy of the model with the threshold that the search took."""
    from fastener.inspection.inspector import Inspector

    inspector = Inspector.load(model, "cpu", weights=arguments.weights)
    path = model.with_name(f"{model.stem}-threshold{model.suffix}")
    if model.is_dir():
        path.mkdir(exist_ok=True)
    inspector.with_threshold(search.threshold, search.source(inspector.threshold_source)).save(path)
    return path


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} must lie in 0 to 1")
    return value
