"""Measure a model on labelled photos: AUROC, recall, false alarms, their intervals, scores and plots."""

from __future__ import annotations

import argparse
from pathlib import Path

from fastener.commands import cli, comparing, data, evaluating, experiments, threshold_search
from fastener.common.registry import Registry
from fastener.inspection.registry import METHODS

EXAMPLE = "python evaluate.py --data-dir data --split test   or   python evaluate.py --data-dir data --cross-validate 5"


def main() -> int:
    arguments = _arguments()
    if arguments.compare:
        style = experiments.style_of(arguments)
        return comparing.compare_runs(arguments.compare, arguments.output, style, seed=arguments.seed or 0)
    if experiments.asked(arguments):
        return experiments.run(arguments)
    layout = data.recognised(arguments)
    assert layout is not None  # --data-dir is checked above
    config = cli.config_from(
        arguments,
        layout.preset,
        model__backbone=arguments.backbone,
        calibration__alpha=arguments.alpha,
        run__seed=arguments.seed,
        evidence=arguments.evidence,
    )
    if not arguments.cross_validate:
        cli.keep_model_settings(arguments, "backbone", "evidence", "alpha")
    dataset = data.load(arguments, layout)
    evaluating.check_data(arguments, dataset)
    if dataset.categories:
        return evaluating.evaluate_categories(arguments, config, dataset)
    return evaluating.evaluate_splits(arguments, config, dataset)


def _arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__, EXAMPLE)
    data.add_flags(parser.add_argument_group("labelled photos"))
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
    parser.add_argument(
        "--compare",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="measure nothing, but compare two or more earlier outputs on the same images: DeLong's test, paired "
        "bootstrap, Holm's correction, ranks over categories",
    )
    parser.add_argument("--no-plots", action="store_true", help="draw no pictures; write metrics and scores only")
    parser.add_argument(
        "--keep-maps", action="store_true", help="keep the anomaly maps, float16, in maps/ beside scores.csv"
    )
    model = parser.add_argument_group("the models of --cross-validate")
    cli.add_model_flags(model)
    model.add_argument(
        "--seed", type=int, metavar="N", help="source of every random draw, also of --validate-share (default: 42)"
    )
    methods = Registry({**dict.fromkeys(METHODS, ""), "all": ""}, METHODS.families)
    data.add_category_flags(parser, methods=methods, more="; anomalib:<model> trains one of anomalib's, if installed")
    experiments.add_flags(parser)
    cli.add_cluster_flags(parser)
    threshold_search.add_flags(parser)
    parser.add_argument("--force", action="store_true", help="measure categories again that are done")
    arguments = parser.parse_args()
    data.check_flags(parser, arguments)
    if arguments.compare is not None:
        if len(arguments.compare) < 2:
            parser.error("--compare needs two outputs at least")
        if arguments.data_dir is not None:
            parser.error("--compare reads earlier outputs; leave out --data-dir")
        return arguments
    experiments.check_flags(parser, arguments)
    if arguments.data_dir is None and arguments.experiment is None:
        parser.error("name the labelled photos: --data-dir")
    if arguments.cross_validate is not None and arguments.cross_validate < 2:
        parser.error("--cross-validate needs at least 2 folds")
    if arguments.cross_validate is not None and arguments.optimize_threshold:
        parser.error("--optimize-threshold moves the threshold of a saved model; leave --cross-validate out")
    threshold_search.check_flags(parser, arguments)
    return arguments


if __name__ == "__main__":
    cli.run(main)
