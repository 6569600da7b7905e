"""Inspect one photo, a folder of photos or a data set with a saved model."""

from __future__ import annotations

import argparse
from pathlib import Path

from fastener.commands import cli, cluster, data, inspecting
from fastener.inspection.registry import METHODS
from fastener.inspection.writers import WRITERS

EXAMPLE = "python inference.py --dir photos/incoming --visualize --json --csv"


def main() -> int:
    arguments = _arguments()
    layout = data.recognised(arguments)
    config = cli.config_from(arguments, baseline_tag=arguments.baseline_tag)
    cli.keep_model_settings(arguments)
    if arguments.cluster is not None:
        return cluster.inspect(arguments, config)
    dataset = None if layout is None else data.load(arguments, layout)
    photos = inspecting.photos_to_inspect(arguments, dataset)
    return inspecting.inspect(photos, arguments, config)


def _arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__, EXAMPLE)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--image", dest="file", type=Path, metavar="F", help="one photo")
    source.add_argument(
        "--dir", metavar="D", help="a folder of photos; with --cluster, a URL such as s3://bucket/photos"
    )
    source.add_argument(
        "--manifest", type=Path, metavar="FILE", help="with --cluster: a text file of paths or URLs, one a line"
    )
    parser.add_argument("--recursive", action="store_true", help="search the folder's subfolders too")
    parser.add_argument("--model", type=Path, metavar="M", help=f"default: {cli.DEFAULT_MODEL}")
    parser.add_argument(
        "--weights", type=Path, metavar="F", help="the backbone's weights, if they are not found by themselves"
    )
    parser.add_argument("--output", type=Path, metavar="D", help="default: outputs/inference, outputs/results")
    for name, writer in WRITERS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=writer.help)
    parser.add_argument("--no-save", action="store_true", help="print verdicts only, where pictures are the default")
    parser.add_argument(
        "--baseline-tag", metavar="TAG", help="token that marks baseline shots (default: the model's, T0)"
    )
    parser.add_argument(
        "--adaptive-threshold",
        action="store_true",
        help="move the threshold to this folder's light and camera, by the scores of its baseline shots",
    )
    parser.add_argument(
        "--look-band",
        action="store_true",
        help="third verdict LOOK: photos that pass with a p-value up to 3 alpha or a place above healthy ones",
    )
    data.add_flags(parser.add_argument_group("data sets: their test images are inspected"))
    data.add_category_flags(parser, methods=tuple(METHODS), several=False)
    group = cli.add_cluster_flags(parser)
    group.add_argument(
        "--shard-size", type=cli.positive, default=64, metavar="N", help="images of a Parquet file (default: 64)"
    )
    arguments = parser.parse_args()
    data.check_flags(parser, arguments)
    if all(given is None for given in (arguments.data_dir, arguments.file, arguments.dir, arguments.manifest)):
        parser.error("name what to inspect: --image, --dir, --manifest or --data-dir")
    if arguments.data_dir is not None and (arguments.dir is not None or arguments.manifest is not None):
        parser.error("--data-dir has photos of its own; leave out --dir and --manifest")
    drawn = [name for name, one in WRITERS.items() if one.draws and name != "visualize" and getattr(arguments, name)]
    if arguments.cluster is not None and drawn:
        parser.error(f"--cluster draws the pictures of --visualize only; leave out --{drawn[0].replace('_', '-')}")
    cluster.check_inspect(parser, arguments)
    if arguments.cluster is not None and arguments.look_band:
        parser.error("--look-band works on one machine; on a cluster, train with --set calibration.look_band=true")
    arguments.output = arguments.output or Path("outputs/results" if arguments.data_dir else "outputs/inference")
    return arguments


if __name__ == "__main__":
    cli.run(main)
