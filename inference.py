"""Inspect a photo or a folder of photos with a saved model."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from fastener.commands import category, cli, cluster
from fastener.common.errors import UserError
from fastener.common.files import check_writable

if TYPE_CHECKING:
    from fastener.inspection.inspector import Inspector
    from fastener.inspection.result import Failure, Inspection

EXAMPLE = "python inference.py --dir photos/incoming --visualize --json --csv"


def main() -> int:
    arguments = _arguments()
    config = cli.config_from(arguments, baseline_tag=arguments.baseline_tag)
    cli.keep_model_settings(arguments)
    if arguments.mvtec_dir is not None:
        return category.inspect(arguments, config)
    if arguments.cluster is not None:
        return cluster.inspect(arguments, config)
    from fastener.datasets.folder import is_baseline
    from fastener.datasets.images import list_images
    from fastener.inspection.inspector import Inspector
    from fastener.inspection.reading import ahead
    from fastener.inspection.result import Inspection
    from fastener.inspection.writers import open_tables, picture_names, record, verdict

    root = arguments.file.parent if arguments.file else Path(arguments.dir)
    paths = [arguments.file] if arguments.file else list_images(root, arguments.recursive)
    if not arguments.file:
        cli.report_passed_over(root, arguments.recursive)
    inspector = Inspector.load(arguments.model or cli.DEFAULT_MODEL, config.run.device, arguments.weights, config.run)
    tag = config.baseline_tag if arguments.baseline_tag else inspector.config.baseline_tag
    if arguments.adaptive_threshold:
        inspector = _adapted(inspector, [path for path in paths if is_baseline(path, tag)])
    names = picture_names({path: path.relative_to(root) for path in paths})
    if arguments.visualize or arguments.json or arguments.csv:
        check_writable(arguments.output / "results.json")

    def with_pictures(pair: tuple[Path, Inspection | Failure]) -> tuple[Path, Inspection | Failure]:
        path, result = pair
        if arguments.visualize and isinstance(result, Inspection):
            _write_pictures(result, arguments.output, names[path])
        return pair

    counts = {"normal": 0, "anomalous": 0, "failed": 0}
    with ExitStack() as stack:
        tables = open_tables(stack, arguments.output, arguments.json, arguments.csv, tuple(inspector.evidence))
        results = cli.progress(inspector.stream(paths), len(paths), "inspecting")
        # Pictures are drawn and written by a thread of their own while the next photos are inspected.
        for path, result in ahead(with_pictures, zip(paths, results, strict=True), 1, config.run.batch_size):
            entry = record(result, is_baseline(path, tag))
            for table in tables:
                table.write(entry)
            if not isinstance(result, Inspection):
                counts["failed"] += 1
                cli.warn(result.error)
                continue
            counts["anomalous" if result.is_anomalous else "normal"] += 1
            if not (arguments.json or arguments.csv):
                cli.say(verdict(result))
    print(f"{counts['normal']} normal, {counts['anomalous']} anomalous, {counts['failed']} could not be read")
    return cli.EXIT_SOME_FAILED if counts["failed"] else cli.EXIT_OK


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
    parser.add_argument("--visualize", action="store_true", help="write det_<name>.png and overlay_<name>.png")
    parser.add_argument("--json", action="store_true", help="write results.json")
    parser.add_argument("--csv", action="store_true", help="write results.csv")
    parser.add_argument(
        "--baseline-tag", metavar="TAG", help="token that marks baseline shots (default: the model's, T0)"
    )
    parser.add_argument(
        "--adaptive-threshold",
        action="store_true",
        help="move the threshold to this folder's light and camera, by the scores of its baseline shots",
    )
    category.add_flags(parser, methods=tuple(category.METHODS), every=False)
    group = cli.add_cluster_flags(parser)
    group.add_argument(
        "--shard-size", type=cli.positive, default=64, metavar="N", help="images of a Parquet file (default: 64)"
    )
    parser.add_argument("--no-save", action="store_true", help="with --mvtec-dir: print verdicts, write no pictures")
    arguments = parser.parse_args()
    if all(given is None for given in (arguments.mvtec_dir, arguments.file, arguments.dir, arguments.manifest)):
        parser.error("name what to inspect: --image, --dir, --manifest or --mvtec-dir")
    if arguments.mvtec_dir is not None and (arguments.json or arguments.csv):
        parser.error("--json and --csv are tables of --image and --dir; evaluate.py measures categories")
    cluster.check_inspect(parser, arguments)
    arguments.output = arguments.output or Path("outputs/results" if arguments.mvtec_dir else "outputs/inference")
    return arguments


def _adapted(inspector: Inspector, baselines: list[Path]) -> Inspector:
    from fastener.inspection.result import Inspection

    scores = [result.score for result in inspector.stream(baselines) if isinstance(result, Inspection)]
    if not scores:
        raise UserError(
            "--adaptive-threshold needs baseline shots among the photos (see --baseline-tag); none was found"
        )
    adapted = inspector.adapted_to(scores)
    print(f"threshold {inspector.threshold:.3f} moved to {adapted.threshold:.3f} by {len(scores)} baseline shots")
    return adapted


def _write_pictures(result: Inspection, output: Path, name: Path) -> None:
    from fastener.inspection.drawing import save_picture
    from fastener.inspection.writers import detection_picture, overlay_picture, preview

    assert result.path is not None
    photo = preview(result.path)
    folder = output / name.parent
    save_picture(detection_picture(photo, result), folder / f"det_{name.name}.png")
    save_picture(overlay_picture(photo, result), folder / f"overlay_{name.name}.png")


if __name__ == "__main__":
    cli.run(main)
