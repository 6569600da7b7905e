"""What train.py, inference.py and evaluate.py do with --mvtec-dir: the same job, for one category or all of them."""

from __future__ import annotations

import argparse
import hashlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fastener.commands import cli, cluster, threshold_search
from fastener.common.errors import UserError
from fastener.common.files import check_writable
from fastener.config import Config

if TYPE_CHECKING:
    from fastener.datasets.labelled_image import LabelledImage
    from fastener.evaluation.measure import Measurement
    from fastener.inspection.inspector import Inspector
    from fastener.inspection.result import Failure, Inspection

MODELS = Path("saved_models/mvtec")
METHODS = {"patchcore": None, "global": ("global",), "autoencoder": ("autoencoder",)}


def add_flags(parser: argparse.ArgumentParser, *, methods: tuple[str, ...], every: bool = True) -> None:
    """--mvtec-dir, --category, --method, and --all if ``every``."""
    group = parser.add_argument_group("research: folders in the MVTec layout")
    group.add_argument(
        "--mvtec-dir", type=Path, metavar="D", help="folder of categories with train/good, test/<defect>"
    )
    group.add_argument("--category", metavar="C", help="one category")
    if every:
        group.add_argument("--all", action="store_true", help="every category that has train/good")
    group.add_argument("--method", choices=methods, default="patchcore", help="default: patchcore")


def check_flags(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a usage error where flags of ``add_flags`` are given without --mvtec-dir."""
    if arguments.mvtec_dir is None and (arguments.method != "patchcore" or arguments.category or arguments.all):
        parser.error("--method, --category and --all are for --mvtec-dir")


def categories(arguments: argparse.Namespace) -> list[str]:
    """The categories that --category or --all asks for. Raises UserError if neither does, or one is not there."""
    from fastener.datasets.mvtec import list_categories, load_category

    if getattr(arguments, "all", False):
        return list_categories(arguments.mvtec_dir)
    if arguments.category is None:
        known = ", ".join(list_categories(arguments.mvtec_dir))
        raise UserError(f"--mvtec-dir: name a --category, or --all; there are: {known}")
    return [load_category(arguments.mvtec_dir, arguments.category).name]


def model_path(category: str, method: str) -> Path:
    """saved_models/mvtec/<category>.pkl, with the method in its name where it is not PatchCore."""
    return MODELS / (f"{category}.pkl" if method == "patchcore" else f"{category}-{method}.pkl")


def train(arguments: argparse.Namespace, config: Config) -> int:
    """Fit a model for each category."""
    from fastener.datasets.mvtec import load_category
    from fastener.inspection.inspector import Inspector

    evidence = METHODS[arguments.method]
    if evidence is not None:
        config = config.model_copy(update={"evidence": evidence})
    names = categories(arguments)
    if arguments.output is not None and len(names) > 1:
        raise UserError("--output names one file; with --all the models go to saved_models/mvtec")
    outputs = {name: arguments.output or model_path(name, arguments.method) for name in names}
    if arguments.cluster is not None and arguments.all:
        return cluster.train_categories(outputs, config, arguments)
    for name, output in outputs.items():
        photos = list(load_category(arguments.mvtec_dir, name).train)
        check_writable(output)
        if arguments.cluster is not None:
            inspector = cluster.trained(photos, config, arguments)
        else:
            checkpoint = output.with_suffix(".checkpoint")
            inspector = Inspector.train(photos, config, arguments.weights, cli.progress, cli.warn, checkpoint)
        inspector.save(output)
        cli.say(f"{name}: {inspector.describe()}\nsaved {output}")
    return cli.EXIT_OK


def inspect(arguments: argparse.Namespace, config: Config) -> int:
    """Inspect a category's test images, or one photo, and write pictures beside the ground truth."""
    from fastener.datasets.labelled_image import LabelledImage
    from fastener.datasets.mvtec import load_category
    from fastener.inspection.inspector import Inspector
    from fastener.inspection.reading import ahead
    from fastener.inspection.result import Inspection
    from fastener.inspection.writers import verdict

    (name,) = categories(arguments)
    category = load_category(arguments.mvtec_dir, name)
    images = list(category.test)
    if arguments.file is not None:
        known = {image.path.resolve(): image for image in images}
        images = [known.get(arguments.file.resolve(), LabelledImage(arguments.file, False))]
    if not images:
        raise UserError(f"{name} has no test images; name a photo with --image")
    if not arguments.no_save:
        check_writable(arguments.output / name / "result.png")
    model = arguments.model or model_path(name, arguments.method)
    inspector = Inspector.load(model, config.run.device, arguments.weights, config.run)
    failed = 0

    def with_pictures(
        pair: tuple[LabelledImage, Inspection | Failure],
    ) -> tuple[LabelledImage, Inspection | Failure]:
        image, result = pair
        if not arguments.no_save and isinstance(result, Inspection):
            _write_pictures(image, result, arguments.output / name / (image.labels[0] if image.labels else "photo"))
        return pair

    stream = inspector.stream([image.path for image in images])
    results = cli.progress(stream, len(images), f"inspecting {name}")
    for image, result in ahead(with_pictures, zip(images, results, strict=True), 1, config.run.batch_size):
        if not isinstance(result, Inspection):
            cli.warn(result.error)
            failed += 1
            continue
        cli.say(f"{image.labels[0] if image.labels else 'photo'}/{verdict(result)}")
    return cli.EXIT_SOME_FAILED if failed else cli.EXIT_OK


def evaluate(arguments: argparse.Namespace, config: Config) -> int:
    """Measure each category by each method; print one table."""
    from fastener.evaluation.category_report import summary_markdown, summary_rows
    from fastener.evaluation.category_runs import evaluate_categories

    if arguments.optimize_threshold:
        # The layout has no validation split: its labelled photos are test data.
        threshold_search.require_permission(arguments, on_test_data=True)
    methods = list(METHODS) if arguments.method == "all" else [arguments.method]
    names = categories(arguments)
    if arguments.model is not None and len(names) * len(methods) > 1:
        raise UserError("--model is one model of one category; leave it out with --all and --method all")
    check_writable(arguments.output / "summary.csv")
    rows, failed = [], 0
    for method in methods:
        output = arguments.output if method == "patchcore" else arguments.output / method
        store = partial(_store_threshold, arguments=arguments, method=method)
        runs = evaluate_categories(
            arguments.mvtec_dir,
            names,
            partial(_load, method=method, arguments=arguments, config=config),
            output,
            arguments.force or arguments.optimize_threshold,
            not arguments.no_plots,
            identity=partial(_identity, method=method, arguments=arguments),
            after=store if arguments.optimize_threshold else None,
            progress=cli.progress,
        )
        for name in runs.resumed:
            cli.say(f"{name}: taken from {output / name} (--force measures again)")
        for error in (*runs.errors.values(), *runs.failures):
            cli.warn(error)
        for name, metrics in runs.metrics.items():
            if metrics["pixel_metrics_left_out"]:
                cli.say(f"{name}, {method}: no pixel metrics, because {metrics['pixel_metrics_left_out']}")
        failed += len(runs.errors) + len(runs.failures)
        label = "" if len(methods) == 1 else f" ({method})"
        rows += [{**row, "category": f"{row['category']}{label}"} for row in summary_rows(runs.metrics)]
    if rows:
        print(summary_markdown(rows), end="")
        print(f"wrote {arguments.output}")
    return cli.EXIT_SOME_FAILED if failed else cli.EXIT_OK


def _load(name: str, method: str, arguments: argparse.Namespace, config: Config) -> Inspector:
    from fastener.inspection.inspector import Inspector

    path = _model(arguments, name, method)
    if not path.exists():
        raise UserError(
            f"{name}: no model at {path}; train it with "
            f"python train.py --mvtec-dir {arguments.mvtec_dir} --category {name} --method {method}"
        )
    return Inspector.load(path, config.run.device, arguments.weights, config.run)


def _identity(name: str, method: str, arguments: argparse.Namespace) -> str | None:
    """What figures of a category depend on, its model and where its images are; None without a model."""
    from fastener.inspection.model_folder import file_of

    file = file_of(_model(arguments, name, method))
    if not file.is_file():
        return None
    return f"{hashlib.sha256(file.read_bytes()).hexdigest()} {(arguments.mvtec_dir / name).resolve()}"


def _store_threshold(name: str, measurement: Measurement, arguments: argparse.Namespace, method: str) -> Path:
    return threshold_search.store(arguments, measurement, _model(arguments, name, method), on_test_data=True)


def _model(arguments: argparse.Namespace, name: str, method: str) -> Path:
    return arguments.model if arguments.model is not None else model_path(name, method)


def _write_pictures(image: LabelledImage, result: Inspection, folder: Path) -> None:
    from fastener.datasets.mvtec import read_mask
    from fastener.inspection.drawing import save_picture
    from fastener.inspection.writers import heatmap_picture, preview, result_picture

    photo = preview(image.path)
    try:
        mask = read_mask(image.mask_path, result.photo_size) if image.mask_path is not None else None
    except UserError as error:
        cli.warn(str(error))
        mask = None
    save_picture(result_picture(photo, result, mask), folder / f"{image.path.stem}_result.png")
    save_picture(heatmap_picture(photo, result), folder / f"{image.path.stem}_heatmap.png")
