"""The work of inference.py: which photos are inspected, and what is written of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastener.commands import cli, data
from fastener.common.errors import UserError, one_line
from fastener.common.files import check_writable
from fastener.config import Config, RunSettings
from fastener.datasets.labelled_image import LabelledImage
from fastener.inspection.writers import WRITERS, Finding, Writer, open_writers, written_in_thread

if TYPE_CHECKING:
    from fastener.datasets.dataset import Dataset
    from fastener.inspection.base_inspector import BaseInspector


@dataclass(frozen=True)
class Photos:
    """Photos to inspect, with all that depends on where they come from.

    Parameters
    ----------
    images : sequence of LabelledImage
        The photos, with their labels where a data set gives them.
    names : dict of Path to Path
        Path of each photo below the output folder, after which its pictures are named.
    model : Path
        Model file, unless --model names another.
    labelled : bool
        Whether the photos are the test images of a data set.
    category : str
        The category that they belong to, with whose name the ``names`` begin; "" if there is none.
    """

    images: Sequence[LabelledImage]
    names: dict[Path, Path]
    model: Path
    labelled: bool = False
    category: str = ""

    def folder_of(self, path: Path) -> str:
        """Name the folder of a photo below the folder that was given, or its label, with a slash; "" in that folder."""
        above = self.names[path].parent.relative_to(self.category)
        return "" if above == Path() else f"{one_line(above.as_posix())}/"


def photos_to_inspect(arguments: argparse.Namespace, dataset: Dataset | None) -> Photos:
    """List the photos of --image, --dir or --data-dir. Raises UserError if there is none."""
    from fastener.datasets.images import list_images

    if dataset is not None:
        return _of_dataset(arguments, dataset)
    if arguments.file is not None:
        paths, root = [arguments.file], arguments.file.parent
    else:
        root = Path(arguments.dir)
        paths = list_images(root, arguments.recursive)
        cli.report_passed_over(root, arguments.recursive)
    images = [LabelledImage(path, False) for path in paths]
    return Photos(images, _picture_names({path: path.relative_to(root) for path in paths}), cli.DEFAULT_MODEL)


def inspect(photos: Photos, arguments: argparse.Namespace, config: Config) -> int:
    """Inspect the photos; write what the flags ask for, and print verdicts unless a table has them."""
    from fastener.inspection.tables import Counts, inspected_in_part, verdict

    chosen = _writers(photos, arguments)
    if chosen:
        check_writable(arguments.output / "results.json")
    inspector = _loaded(arguments.model or photos.model, arguments.weights, config.run)
    tag = config.baseline_tag if arguments.baseline_tag else inspector.config.baseline_tag
    if arguments.adaptive_threshold:
        inspector = _adapted(inspector, photos, tag)
    if arguments.look_band:
        inspector = inspector.with_look_band()
    counts = Counts()
    notes: list[tuple[str, str]] = []
    with ExitStack() as stack:
        writers = open_writers(stack, chosen, arguments.output, kinds=tuple(inspector.evidence))
        drawing = [writer for writer in writers if writer.draws]
        tables = [writer for writer in writers if not writer.draws]
        findings = _findings(inspector, photos, tag, with_photo=bool(drawing))
        # Tables are written here, in order, so that an interruption leaves them whole.
        for finding in written_in_thread(findings, drawing, window=config.run.batch_size):
            for writer in tables:
                writer.write(finding)
            _warn_of(drawing)
            inspection = finding.inspection
            counts.add(finding.entry, inspection is not None and inspected_in_part(inspection))
            if inspection is None:
                cli.warn(finding.entry["error"])
                continue
            notes += [(str(inspection.path), note) for note in inspection.notes]
            if not tables:
                folder = "" if inspection.path is None else photos.folder_of(inspection.path)
                cli.say(f"{folder}{verdict(inspection)}")
    cli.report_notes(notes)
    if hint := counts.hint():
        cli.warn(hint)
    print(counts.line())
    return cli.EXIT_SOME_FAILED if counts.failed else cli.EXIT_OK


def _loaded(model: Path, weights: Path | None, run: RunSettings) -> BaseInspector:
    """Load a model; a folder that was exported needs no torch, unless a flag asks for what only torch can do.

    Raises UserError if the model cannot be loaded, or needs torch and there is none.
    """
    plain = run.device in ("auto", "cpu") and run.runtime in ("auto", "onnx") and run.precision == "auto"
    if model.is_dir() and plain and weights is None:
        from fastener.runtime.loading import can_load, load

        if can_load(model):
            return load(model, run)
    try:
        from fastener.inspection.inspector import Inspector
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UserError(
            f"{model}: PyTorch is not installed; without it models are folders that export.py wrote"
        ) from None
    from fastener.inspection import few_photos

    inspector = Inspector.load(model, run.device, weights=weights, run=run)
    if inspector.report is not None and inspector.report.disturbed:
        cli.warn(few_photos.GUESS)
    return inspector


def _of_dataset(arguments: argparse.Namespace, dataset: Dataset) -> Photos:
    """Take the test images of a data set, or all of one without labels; --image picks a single one."""
    from fastener.datasets.dataset import TEST

    (category,) = data.categories(arguments, dataset)
    split = data.report(dataset.read(TEST if dataset.labelled else dataset.splits[0], category))
    data.report_unused(dataset, [category])
    images: Sequence[LabelledImage] = split.images
    if arguments.file is not None:
        known = {image.path.resolve(): image for image in images}
        images = [known.get(arguments.file.resolve(), LabelledImage(arguments.file, False))]
    if not images:
        raise UserError(f"{category or dataset.root} has no test images; name a photo with --image")
    names = {image.path: Path(category, _folder(image, dataset), _below(image, dataset, category)) for image in images}
    model = data.model_path(category, arguments.method, arguments.layout)
    return Photos(images, _picture_names(names), model, dataset.labelled, category)


def _folder(image: LabelledImage, dataset: Dataset) -> Path:
    """Choose the folder of a photo's pictures: the first label, "photo" without one, or as in a plain folder."""
    if image.labels:
        return Path(image.labels[0])
    if dataset.labelled or not image.path.is_relative_to(dataset.root):
        return Path("photo")
    return image.path.parent.relative_to(dataset.root)


def _below(image: LabelledImage, dataset: Dataset, category: str) -> Path:
    """Return a photo's path below the folder of its defect, or of its split; its name for a photo from elsewhere."""
    root = dataset.root / category
    if not dataset.labelled or not image.path.is_relative_to(root):
        return Path(image.path.name)
    inside = image.path.relative_to(root).parts[2 if category else 1 :]
    return Path(*inside) if inside else Path(image.path.name)


def _picture_names(relative: dict[Path, Path]) -> dict[Path, Path]:
    from fastener.inspection.pictures import picture_names

    return picture_names(relative)


def _writers(photos: Photos, arguments: argparse.Namespace) -> list[str]:
    """Name the writers that the flags ask for. Raises UserError for tables of labelled images."""
    chosen = [name for name in WRITERS if getattr(arguments, name)]
    if not photos.labelled:
        return chosen
    if tables := [name for name in chosen if not WRITERS[name].draws]:
        raise UserError(f"--{tables[0]} is a table of --image and --dir; evaluate.py measures the test images of data")
    by_default = [] if arguments.no_save else [name for name, writer in WRITERS.items() if writer.by_default]
    return list(dict.fromkeys(chosen + by_default))


def _findings(inspector: BaseInspector, photos: Photos, tag: str, *, with_photo: bool) -> Iterator[Finding]:
    """Inspect the photos one after another."""
    from fastener.datasets.folder import is_baseline
    from fastener.inspection.pictures import PREVIEW_SIDE
    from fastener.inspection.result import Inspection
    from fastener.inspection.tables import record

    stream = inspector.stream([image.path for image in photos.images], photo_side=PREVIEW_SIDE if with_photo else None)
    results = cli.progress(stream, len(photos.images), "inspecting")
    # The images come first: zip must not take a result, which may be interrupted, and then drop it.
    for image, result in zip(photos.images, results, strict=True):
        yield Finding(
            record(result, is_baseline(image.path, tag)),
            photos.names[image.path],
            result if isinstance(result, Inspection) else None,
            image,
        )


def _adapted(inspector: BaseInspector, photos: Photos, tag: str) -> BaseInspector:
    """Move the threshold by the scores of the baseline shots among the photos. Raises UserError without any."""
    from fastener.datasets.folder import is_baseline
    from fastener.inspection.result import Inspection

    baselines = [image.path for image in photos.images if is_baseline(image.path, tag)]
    scores = [result.score for result in inspector.stream(baselines) if isinstance(result, Inspection)]
    if not scores:
        raise UserError(
            "--adaptive-threshold needs baseline shots among the photos (see --baseline-tag); none was found"
        )
    adapted = inspector.adapted_to(scores)
    print(f"threshold {inspector.threshold:.3f} moved to {adapted.threshold:.3f} by {len(scores)} baseline shots")
    return adapted


def _warn_of(writers: Sequence[Writer]) -> None:
    """Print what cost a part of a picture."""
    for writer in writers:
        while writer.warnings:
            cli.warn(writer.warnings.pop(0))
