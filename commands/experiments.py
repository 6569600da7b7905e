"""Experiments of evaluate.py: --experiment FILE, and the protocols --shots, --repeats and --multi-class."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastener.commands import cli, cluster
from fastener.common.errors import UserError
from fastener.inspection.registry import ANOMALIB

if TYPE_CHECKING:
    from fastener.evaluation.experiments.cells import Cell
    from fastener.evaluation.experiments.results import Results
    from fastener.evaluation.experiments.run import Spread
    from fastener.evaluation.experiments.settings import Experiment
    from fastener.evaluation.figure_style import Style

_FORMATS = ("png", "pdf", "svg")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of experiments and of figures."""
    group = parser.add_argument_group("experiments: train, measure, repeat; what is done is not done again")
    group.add_argument(
        "--experiment",
        type=Path,
        metavar="FILE",
        help="data sets x methods x photos x seeds, as in configs/experiments/",
    )
    group.add_argument(
        "--shots", type=_shots, metavar="N,N", help="numbers of training photos to draw, or all, e.g. 1,2,4,8,all"
    )
    group.add_argument("--repeats", type=cli.positive, metavar="N", help="train anew by N seeds, from --seed on")
    group.add_argument("--turns", type=cli.positive, metavar="N", help="learn each drawn photo at N angles")
    group.add_argument("--multi-class", action="store_true", help="one model for all categories")
    group.add_argument(
        "--robustness", action="store_true", help="also under JPEG, blur, brightness, contrast, rotation"
    )
    group.add_argument("--log", metavar="SINK", help="log results to mlflow[:URI] or tensorboard[:FOLDER], too")
    figures = parser.add_argument_group("figures of experiments and comparisons")
    figures.add_argument("--paper", action="store_true", help="leave titles out, as captions say what is shown")
    figures.add_argument("--columns", type=int, choices=(1, 2), default=1, help="columns of a paper (default: 1)")
    figures.add_argument(
        "--formats", type=cli.names, default=("png",), metavar="F,F", help=f"of {', '.join(_FORMATS)} (default: png)"
    )


def asked(arguments: argparse.Namespace) -> bool:
    """Tell whether an experiment is asked for."""
    return arguments.experiment is not None or bool(_protocol(arguments))


def check_flags(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a usage error where flags of this module do not go together with others."""
    if unknown := [name for name in arguments.formats if name not in _FORMATS]:
        parser.error(f"--formats {unknown[0]}: of {', '.join(_FORMATS)}")
    if not asked(arguments):
        for flag, value in (("--log", arguments.log), ("--cluster", arguments.cluster)):
            if value is not None:
                parser.error(f"{flag} is for experiments: --experiment, --shots, --repeats or --multi-class")
        return
    if arguments.experiment is not None and (arguments.data_dir is not None or _protocol(arguments)):
        other = "--data-dir" if arguments.data_dir is not None else _protocol(arguments)
        parser.error(f"{other}: the file of --experiment says it; leave one of them out")
    clashing = {
        "--model": arguments.model,
        "--cross-validate": arguments.cross_validate,
        "--split": arguments.split,
        "--layout": arguments.layout,
        "--defect-columns": arguments.defect_columns,
        "--healthy-columns": arguments.healthy_columns,
        "--evidence": arguments.evidence,
        "--optimize-threshold": arguments.optimize_threshold or None,
        "--validate-share": arguments.validate_share,
    }
    given = next((flag for flag, value in clashing.items() if value is not None), None)
    if given is not None:
        parser.error(f"{given} does not go together with {_protocol(arguments) or '--experiment'}, which trains models")


def style_of(arguments: argparse.Namespace) -> Style:
    """Read from the flags how figures are drawn."""
    from fastener.evaluation.figure_style import Style

    return Style(arguments.paper, arguments.columns, arguments.formats)


def run(arguments: argparse.Namespace) -> int:
    """Run an experiment, write its tables, figures and report.html, and print the tables."""
    from fastener.evaluation.experiments.report import write_report
    from fastener.evaluation.experiments.settings import load_experiment
    from fastener.evaluation.experiments.sinks import log_results

    experiment = _of_flags(arguments) if arguments.experiment is None else load_experiment(arguments.experiment)
    with _workers(arguments, experiment) as spread:
        results = experiment.run(
            arguments.output, weights=arguments.weights, progress=cli.progress, warn=cli.warn, spread=spread
        )
    if not results.cells:
        raise UserError(f"none of the {results.missing} cells of the experiment could be measured; see the warnings")
    tables = write_report(results, style_of(arguments), command=shlex.join(["python", *sys.argv]))
    for table in tables:
        cli.say(f"\n{table.title}\n\n{table.to_markdown()}")
    if arguments.log is not None:
        log_results(results, arguments.log)
    _say_end(results, arguments.output)
    return cli.EXIT_SOME_FAILED if results.errors else cli.EXIT_OK


@contextmanager
def _workers(arguments: argparse.Namespace, experiment: Experiment) -> Iterator[Spread | None]:
    """Join the cluster of --cluster, if any, that measures cells. Raises UserError."""
    if arguments.cluster is None:
        yield None
        return
    cluster.require_ray()
    from fastener.config import load_config
    from fastener.distributed import ray_engine
    from fastener.distributed.side_by_side import side_by_side
    from fastener.evaluation.experiments.run import files_of_cell
    from fastener.inspection.choice import choose

    choice = choose(load_config(experiment.config, experiment.settings), arguments.weights)
    # A worker that has weights of its own must not make another model than this machine would.
    same = experiment.model_copy(update={"settings": (*experiment.settings, f"model.backbone={choice.backbone}")})
    with ray_engine.joined(arguments.cluster, arguments.cores) as workers:
        cli.say(f"measuring on {workers.describe()}")

        def spread(cells: Sequence[Cell]) -> Iterator[tuple[Cell, Mapping[str, bytes] | UserError]]:
            work = {cell: partial(files_of_cell, cell, same, Path.cwd()) for cell in cells}
            return side_by_side(work, choice.weights, workers, cli.warn)

        yield spread


def _say_end(results: Results, output: Path) -> None:
    left = f"; {len(results.errors)} could not be measured" if results.errors else ""
    cli.say(f"{len(results.cells)} results{left}; wrote {output}/report.html, tables and figures")


def _of_flags(arguments: argparse.Namespace) -> Experiment:
    """Make the experiment of --shots, --repeats and the like. Raises UserError."""
    from fastener.commands.data import categories
    from fastener.common.settings import load_settings
    from fastener.datasets.layouts import LabelRules, recognise
    from fastener.evaluation.experiments.settings import Experiment
    from fastener.inspection.registry import METHODS

    root = arguments.data_dir
    dataset = recognise(root).load(root, LabelRules())
    wanted = categories(arguments, dataset)
    settings = [f"{key}={value}" for key, value in cli.run_flags(arguments).items() if value is not None]
    settings += [f"model.backbone={arguments.backbone}"] if arguments.backbone is not None else []
    settings += [f"calibration.alpha={arguments.alpha:g}"] if arguments.alpha is not None else []
    flags: dict[str, Any] = {
        "data": [root],
        "categories": wanted if dataset.categories else None,
        "methods": list(METHODS) if arguments.method == "all" else [arguments.method],
        "shots": arguments.shots,
        "repeats": arguments.repeats,
        "seed": arguments.seed,
        "turns": arguments.turns,
        "multi_class": arguments.multi_class,
        "robustness": arguments.robustness,
        "config": arguments.config,
        "settings": [*arguments.set, *settings],
    }
    return load_settings(Experiment, flags=flags)


def _protocol(arguments: argparse.Namespace) -> str:
    """Name the first flag given that trains models for a protocol, or ""."""
    given = {
        "--shots": arguments.shots is not None,
        "--repeats": arguments.repeats is not None,
        "--multi-class": arguments.multi_class,
        "--robustness": arguments.robustness,
        "--turns": arguments.turns is not None,
        f"--method {arguments.method}": arguments.method.startswith(ANOMALIB),
    }
    return next((flag for flag, was in given.items() if was), "")


def _shots(text: str) -> list[int | str]:
    return [one if one == "all" else cli.positive(one) for one in cli.names(text)]
