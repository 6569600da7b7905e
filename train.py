"""Learn what healthy parts look like, and save it as one file."""

from __future__ import annotations

import argparse
from pathlib import Path

from fastener.commands import category, cli, cluster
from fastener.common.errors import UserError
from fastener.common.files import check_writable
from fastener.config import Config

EXAMPLE = "python train.py --images photos/good   or   python train.py --data-dir data --coreset-ratio 0.1"


def main() -> int:
    arguments = _arguments()
    config = cli.config_from(
        arguments,
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
    if arguments.mvtec_dir is not None:
        return category.train(arguments, config)
    from fastener.inspection.inspector import Inspector
    from fastener.inspection.model_folder import file_of

    if arguments.update is not None:
        cli.keep_model_settings(arguments, "coreset_ratio", "backbone", "index", "evidence", "alpha", "seed")
        inspector = Inspector.load(arguments.update, config.run.device, arguments.weights, config.run)
        tag = config.baseline_tag if arguments.baseline_tag else inspector.config.baseline_tag
        output = arguments.output or file_of(arguments.update)
        check_writable(output)
        new = inspector.update(_photos(arguments, tag), cli.progress)
        print(f"learned {new} new photos")
    else:
        photos = _photos(arguments, config.baseline_tag)
        if arguments.preprocess_only:
            return _write_sheet(photos, config, arguments.output or Path("outputs/preprocessing.png"))
        output = arguments.output or cli.DEFAULT_MODEL
        check_writable(output)
        if arguments.cluster is not None:
            inspector = cluster.trained(photos, config, arguments)
        else:
            inspector = Inspector.train(photos, config, arguments.weights, cli.progress, cli.warn)
    inspector.save(output)
    print(inspector.describe())
    print(f"saved {output}")
    return cli.EXIT_OK


def _arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__, EXAMPLE)
    photos = parser.add_argument_group("healthy photos (at least one)")
    photos.add_argument(
        "--data-dir", type=Path, metavar="D", help="folder with train|valid|test/_classes.csv and images"
    )
    photos.add_argument("--images", type=Path, metavar="D", help="folder of good images, searched recursively")
    photos.add_argument(
        "--components-dir", type=Path, metavar="D", help="time series; their baseline shots are healthy"
    )
    photos.add_argument("--combine-normals", action="store_true", help="pool the healthy images of all splits")
    photos.add_argument("--baseline-tag", metavar="TAG", help="token that marks baseline shots (default: T0)")
    cli.add_label_flags(photos)
    model = parser.add_argument_group("model")
    model.add_argument("--coreset-ratio", type=float, metavar="R", help="share of patches kept (default: 0.2)")
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
    category.add_flags(parser, methods=tuple(category.METHODS))
    cli.add_cluster_flags(parser)
    parser.add_argument("--preprocess-only", action="store_true", help="write before / mask / after, train nothing")
    parser.add_argument("--output", type=Path, metavar="FILE", help=f"default: {cli.DEFAULT_MODEL}")
    arguments = parser.parse_args()
    if arguments.update is not None and arguments.preprocess_only:
        parser.error("--preprocess-only trains nothing; leave out --update")
    if arguments.mvtec_dir is not None and (arguments.preprocess_only or arguments.update is not None):
        parser.error("--preprocess-only and --update take photos of --images; leave out --mvtec-dir")
    category.check_flags(parser, arguments)
    if arguments.cluster is not None and (arguments.update is not None or arguments.preprocess_only):
        parser.error("--cluster trains new models; leave it out with --update and --preprocess-only")
    if arguments.target_dim is not None:
        arguments.set.append(f"model.target_dim={'null' if arguments.target_dim == 'none' else arguments.target_dim}")
        arguments.target_dim = None
    return arguments


def _photos(arguments: argparse.Namespace, baseline_tag: str) -> list[Path]:
    """The healthy photos of every source that was named, in a fixed order."""
    from fastener.datasets.csv_splits import load_splits
    from fastener.datasets.folder import baseline_images, good_images

    photos: list[Path] = []
    if arguments.data_dir is not None:
        splits = None if arguments.combine_normals else ["train"]
        for split in load_splits(arguments.data_dir, splits, arguments.defect_columns, arguments.healthy_columns):
            healthy = [image.path for image in split.images if not image.is_anomalous]
            cli.report_split(split)
            print(f"{split.name}: learning from {len(healthy)} healthy of {len(split.images)} images")
            photos += healthy
    elif arguments.combine_normals:
        raise UserError("--combine-normals pools the splits of --data-dir; name that folder")
    if arguments.images is not None:
        photos += good_images(arguments.images)
        cli.report_passed_over(arguments.images, recursive=True)
    if arguments.components_dir is not None:
        photos += baseline_images(arguments.components_dir, baseline_tag)
    if not photos:
        raise UserError("no healthy photos: name a folder with --images, --data-dir or --components-dir")
    return list(dict.fromkeys(photos))


def _write_sheet(photos: list[Path], config: Config, output: Path) -> int:
    """Up to 40 photos as before / mask / after, spread evenly over the list."""
    from fastener.inspection.drawing import save_picture
    from fastener.inspection.reading import prepare
    from fastener.inspection.writers import preprocessing_sheet
    from fastener.preprocessing.pipeline import Preprocessor

    chosen = photos[:: max(1, -(-len(photos) // 40))]
    preprocessor = Preprocessor(config.preprocess)
    shown = cli.progress(chosen, len(chosen), "preprocessing")
    pairs = [(path, prepare(path, preprocessor)[1]) for path in shown]
    save_picture(preprocessing_sheet(pairs), output)
    missing = sum(not prepared.part_found for _, prepared in pairs)
    print(f"wrote {output}: {len(pairs)} of {len(photos)} photos, {missing} without a findable part")
    return cli.EXIT_OK


if __name__ == "__main__":
    cli.run(main)
