"""Train a model on photos of healthy parts, and save it as one file."""

from __future__ import annotations

import argparse
from pathlib import Path

from fastener.commands import cli, cluster, data, training, tuning
from fastener.inspection.registry import METHODS

EXAMPLE = "python train.py --images photos/good   or   python train.py --data-dir data --coreset-ratio 0.1"


def main() -> int:
    arguments = _arguments()
    layout = data.recognised(arguments)
    config = cli.config_from(
        arguments,
        None if layout is None else layout.preset,
        model__coreset_ratio=arguments.coreset_ratio,
        model__target_dim=arguments.target_dim,
        model__backbone=arguments.backbone,
        model__index=arguments.index,
        calibration__alpha=arguments.alpha,
        run__batch_size=arguments.batch_size,
        run__seed=arguments.seed,
        run__memory_limit_mb=arguments.memory_limit,
        evidence=arguments.evidence,
        baseline_tag=arguments.baseline_tag,
    )
    config = data.with_method(config, arguments.method)
    dataset = None if layout is None else data.load(arguments, layout)
    if arguments.update is not None:
        return training.update(arguments, config, dataset)
    jobs = training.jobs(arguments, config, dataset)
    if arguments.preprocess_only:
        return training.write_sheet(jobs, config, arguments.output)
    if arguments.cluster is not None and arguments.all:
        return cluster.train_categories(jobs, config, arguments)
    return training.train(jobs, config, arguments)


def _arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__, EXAMPLE)
    training.add_photo_flags(parser.add_argument_group("healthy photos (at least one of these folders)"))
    model = parser.add_argument_group("model")
    model.add_argument(
        "--coreset-ratio",
        type=float,
        metavar="R",
        help="share of patches kept (default: 0.02, less of many)",
    )
    model.add_argument("--target-dim", metavar="N", help="project CNN features to N numbers, or none (default: 256)")
    cli.add_model_flags(model)
    model.add_argument(
        "--index",
        choices=("auto", "flat", "ivf", "hnsw", "pq"),
        help="how the memory bank is searched; scores stay exact (default: auto, by size and measured recall)",
    )
    model.add_argument("--batch-size", type=int, metavar="N", help="images per forward pass (default: 32)")
    model.add_argument(
        "--memory-limit", type=int, metavar="MB", help="features beyond this go to a file in $TMPDIR (default: 2048)"
    )
    model.add_argument("--seed", type=int, metavar="N", help="source of every random draw (default: 42)")
    model.add_argument("--update", type=Path, metavar="MODEL", help="add the photos to this saved model")
    data.add_category_flags(parser, methods=tuple(METHODS))
    cli.add_cluster_flags(parser)
    tuning.add_flags(parser)
    odd = parser.add_argument_group("odd photos among the healthy ones")
    odd.add_argument(
        "--drop", type=Path, nargs="+", action="extend", default=[], metavar="FILE", help="photos to leave out"
    )
    odd.add_argument(
        "--review", action="store_true", help="look at the oddest photos after training, and leave some out by hand"
    )
    parser.add_argument("--preprocess-only", action="store_true", help="write before / mask / after, train nothing")
    parser.add_argument("--output", type=Path, metavar="FILE", help=f"default: {cli.DEFAULT_MODEL}")
    arguments = parser.parse_args()
    if arguments.update is not None and arguments.preprocess_only:
        parser.error("--preprocess-only trains nothing; leave out --update")
    if arguments.update is not None and (arguments.drop or arguments.review):
        parser.error("--update learns more photos; to leave some out, train anew with --drop or --review")
    if arguments.review and (arguments.cluster is not None or arguments.preprocess_only):
        parser.error("--review trains on this machine; leave out --cluster and --preprocess-only")
    data.check_flags(parser, arguments)
    tuning.check_flags(parser, arguments)
    if arguments.cluster is not None and (arguments.update is not None or arguments.preprocess_only):
        parser.error("--cluster trains new models; leave it out with --update and --preprocess-only")
    if arguments.target_dim is not None:
        arguments.set.append(f"model.target_dim={'null' if arguments.target_dim == 'none' else arguments.target_dim}")
        arguments.target_dim = None
    return arguments


if __name__ == "__main__":
    cli.run(main)
