"""The work of train.py: which photos make which model, and the training of each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fastener.commands import cli, cluster, data, reviewing, tuning
from fastener.common.errors import UserError
from fastener.common.files import check_writable
from fastener.config import Config

if TYPE_CHECKING:
    from fastener.datasets.dataset import Dataset
    from fastener.inspection.inspector import Inspector

SHEET = Path("outputs/preprocessing.png")
_ON_A_SHEET = 40


@dataclass(frozen=True)
class Job:
    """One model to be trained.

    Parameters
    ----------
    name : str
        The category; "" if the data have none.
    photos : sequence of Path
        Healthy photos, each once.
    output : Path
        File of the model.
    """

    name: str
    photos: Sequence[Path]
    output: Path


def add_photo_flags(group: argparse._ArgumentGroup) -> None:
    """Add the flags that name healthy photos."""
    data.add_flags(group)
    group.add_argument("--images", type=Path, metavar="D", help="folder of good images, searched recursively")
    group.add_argument("--components-dir", type=Path, metavar="D", help="time series; their baseline shots are healthy")
    group.add_argument("--combine-normals", action="store_true", help="pool the healthy images of all splits")
    group.add_argument("--baseline-tag", metavar="TAG", help="token that marks baseline shots (default: T0)")


def jobs(arguments: argparse.Namespace, config: Config, dataset: Dataset | None) -> list[Job]:
    """List the models to be trained: one for each category that is asked for, or one of all photos.

    Raises UserError if there are no photos, or if flags do not fit the data set.
    """
    if dataset is None or not dataset.categories:
        photos = healthy_photos(arguments, config.baseline_tag, dataset)
        return _without_dropped([Job("", photos, arguments.output or cli.DEFAULT_MODEL)], arguments.drop)
    _check_category_flags(arguments)
    names = data.categories(arguments, dataset)
    paths = {name: data.model_path(name, arguments.method, arguments.layout) for name in names}
    if arguments.output is not None and len(names) > 1:
        raise UserError(f"--output names one file; with --all the models go to {paths[names[0]].parent}")
    data.report_unused(dataset, names)
    found = [Job(name, dataset.category(name).train, arguments.output or path) for name, path in paths.items()]
    return _without_dropped(found, arguments.drop)


def _without_dropped(found: Sequence[Job], names: Sequence[Path]) -> list[Job]:
    """Leave out the photos that --drop names. Raises UserError for a name that fits none of them, or several."""
    dropped = reviewing.named([photo for job in found for photo in job.photos], names)
    return [replace(job, photos=[photo for photo in job.photos if photo not in dropped]) for job in found]


def healthy_photos(arguments: argparse.Namespace, baseline_tag: str, dataset: Dataset | None) -> list[Path]:
    """Pool the healthy photos of every folder that is named, each once and in a fixed order."""
    from fastener.datasets.dataset import TRAIN
    from fastener.datasets.folder import baseline_images, good_images, refuse_other_than_good

    if dataset is None and arguments.combine_normals:
        raise UserError("--combine-normals pools the splits of --data-dir; name that folder")
    photos: list[Path] = []
    if dataset is not None:
        for name in dataset.splits if arguments.combine_normals else (TRAIN,):
            split = data.report(dataset.read(name, ""))
            print(f"{split.name}: learning from {len(split.healthy)} healthy of {len(split.images)} images")
            photos += split.healthy
        if not dataset.labelled:
            refuse_other_than_good(dataset.root)
        data.report_unused(dataset, [""])
    if arguments.images is not None:
        photos += good_images(arguments.images)
        cli.report_passed_over(arguments.images, recursive=True)
    if arguments.components_dir is not None:
        photos += baseline_images(arguments.components_dir, baseline_tag)
    if not photos:
        raise UserError("no healthy photos: name a folder with --images, --data-dir or --components-dir")
    return list(dict.fromkeys(photos))


def train(jobs: Sequence[Job], config: Config, arguments: argparse.Namespace) -> int:
    """Train and save the models one after another, each with a sheet of its oddest training photos."""
    for job in jobs:
        check_writable(job.output)
        sheet = reviewing.SHEET if len(jobs) == 1 else job.output.with_name(f"{job.output.stem}_training_review.png")
        settings = tuning.tuned(job.name, job.photos, config, arguments) if arguments.tune else config
        inspector = _fitted(job, settings, arguments)
        if arguments.review:
            odd = reviewing.write_sheet(inspector, job.photos, sheet)
            dropped = reviewing.chosen_by_hand(odd, job.photos)
            if dropped:
                job = replace(job, photos=[photo for photo in job.photos if photo not in dropped])
                cli.say(f"learning again without {len(dropped)} photo(s)")
                inspector = _fitted(job, settings, arguments)
        inspector.save(job.output)
        cli.say(f"{job.name}: {inspector.describe()}" if job.name else inspector.describe())
        cli.say(f"saved {job.output}")
        if arguments.cluster is None and not (arguments.review and not dropped):
            reviewing.write_sheet(inspector, job.photos, sheet)
    return cli.EXIT_OK


def _fitted(job: Job, config: Config, arguments: argparse.Namespace) -> Inspector:
    """Train the model of a job, on this machine or on a cluster."""
    from fastener.inspection.inspector import Inspector

    if arguments.cluster is not None:
        return cluster.trained(list(job.photos), config, arguments)
    checkpoint = job.output.with_suffix(".checkpoint")
    return Inspector.fit(
        job.photos, config, weights=arguments.weights, progress=cli.progress, warn=cli.warn, checkpoint=checkpoint
    )


def update(arguments: argparse.Namespace, config: Config, dataset: Dataset | None) -> int:
    """Add photos to a saved model."""
    from fastener.inspection.inspector import Inspector
    from fastener.inspection.model_folder import file_of

    if dataset is not None and dataset.categories:
        _check_category_flags(arguments)
    cli.keep_model_settings(arguments, "coreset_ratio", "backbone", "index", "evidence", "alpha", "seed")
    inspector = Inspector.load(arguments.update, config.run.device, weights=arguments.weights, run=config.run)
    tag = config.baseline_tag if arguments.baseline_tag else inspector.config.baseline_tag
    output = arguments.output or file_of(arguments.update)
    check_writable(output)
    inspector.partial_fit(healthy_photos(arguments, tag, dataset), progress=cli.progress)
    print(
        f"learned {inspector.new_photos_} new photos; earlier photos, which need not be at hand, keep the scores that "
        "they had with the smaller bank, so the threshold errs upwards: train on all photos at once for the exact one"
    )
    inspector.save(output)
    print(inspector.describe())
    print(f"saved {output}")
    return cli.EXIT_OK


def write_sheet(jobs: Sequence[Job], config: Config, output: Path | None) -> int:
    """Draw up to 40 photos, spread evenly over the list, before and after preprocessing; train nothing."""
    from fastener.inspection.drawing import save_picture
    from fastener.inspection.photo_settings import settled
    from fastener.inspection.pictures import preprocessing_sheet
    from fastener.inspection.reading import prepare
    from fastener.preprocessing.pipeline import Preprocessor

    output = output or SHEET
    photos = [photo for job in jobs for photo in job.photos]
    chosen = photos[:: max(1, -(-len(photos) // _ON_A_SHEET))]
    preprocessor = Preprocessor(settled(config, photos).preprocess)
    shown = cli.progress(chosen, len(chosen), "preprocessing")
    pairs = [(path, prepare(path, preprocessor)[1][0]) for path in shown]
    save_picture(preprocessing_sheet(pairs), output)
    missing = sum(not prepared.part_found for _, prepared in pairs)
    print(f"wrote {output}: {len(pairs)} of {len(photos)} photos, {missing} without a findable part")
    return cli.EXIT_OK


def _check_category_flags(arguments: argparse.Namespace) -> None:
    """Raise UserError for flags that work on one pool of photos, where each category has its own."""
    given = {
        "--preprocess-only": arguments.preprocess_only,
        "--update": arguments.update is not None,
        "--images": arguments.images is not None,
        "--components-dir": arguments.components_dir is not None,
        "--combine-normals": arguments.combine_normals,
    }
    flag = next((name for name, was in given.items() if was), None)
    if flag is not None:
        raise UserError(
            f"{flag} takes one pool of photos, but {arguments.data_dir} has categories; leave out --data-dir and name "
            "a folder of healthy photos with --images"
        )
