"""What train.py and inference.py do with --cluster: the same job, on the machines of a Ray cluster."""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fastener.commands import cli
from fastener.common.errors import UserError
from fastener.common.files import check_writable, write_atomically
from fastener.common.installation import install_extra
from fastener.config import Config

if TYPE_CHECKING:
    from fastener.commands.training import Job as TrainingJob
    from fastener.distributed.scoring import Job, Scored
    from fastener.distributed.shards import Shard
    from fastener.inspection.inspector import Inspector


def check_inspect(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a usage error where flags of inference.py do not go together."""
    if arguments.cluster is None:
        if arguments.manifest is not None or "://" in (arguments.dir or ""):
            parser.error("--manifest and URLs are read by the workers of a cluster; add --cluster auto")
    elif arguments.dir is None and arguments.manifest is None:
        parser.error("--cluster is for many photos: name --dir or --manifest")
    elif arguments.adaptive_threshold:
        parser.error("--adaptive-threshold looks at all baseline shots first; leave out --cluster")


def require_ray() -> None:
    """Raises UserError where Ray is not installed."""
    if any(find_spec(name) is None for name in ("ray", "pyarrow", "fsspec")):
        raise UserError(f"--cluster needs Ray, which is not installed: {install_extra('cluster')}")


def inspect(arguments: argparse.Namespace, config: Config) -> int:
    """Inspect a folder, a bucket or a manifest; results in Parquet shards, then JSON and CSV as on one machine."""
    require_ray()
    from fastener.distributed import ray_engine, shards
    from fastener.distributed.images import check_storage, images_in, listed_in, relative_names
    from fastener.distributed.scoring import score
    from fastener.inspection.inspector import Inspector
    from fastener.inspection.model_folder import file_of
    from fastener.inspection.pictures import picture_names

    images = listed_in(arguments.manifest) if arguments.manifest else images_in(arguments.dir, arguments.recursive)
    check_storage(images)
    model = arguments.model or cli.DEFAULT_MODEL
    inspector = Inspector.load(model, "cpu", weights=arguments.weights, run=config.run)
    tag = config.baseline_tag if arguments.baseline_tag else inspector.config.baseline_tag
    computed = inspector.config.run.precision, inspector.config.run.runtime
    run = json.dumps([hashlib.sha256(file_of(model).read_bytes()).hexdigest(), tag, arguments.visualize, *computed])
    parts = shards.plan(images, arguments.shard_size, arguments.output / "shards", run)
    check_writable(arguments.output / "shards" / "any.parquet")
    missing = [part for part in parts if not part.done]
    if missing:
        left = sum(len(part.images) for part in missing)
        if len(missing) < len(parts):
            cli.say(f"{len(images) - left} of {len(images)} images are written already")
        with ray_engine.joined(arguments.cluster, arguments.cores) as workers:
            cli.say(f"inspecting {left} images on {workers.describe()}")
            job = _job(inspector, model, arguments, config, tag)
            start = time.perf_counter()
            names = picture_names(relative_names(images, arguments.dir))
            done = _written(score(missing, job, workers, cli.warn), names, arguments.output, tuple(inspector.evidence))
            for _ in cli.progress(done, left, "inspecting"):
                pass
            seconds = time.perf_counter() - start
        cli.say(f"{left} images in {seconds:.1f} s: {left / seconds:.1f} images/s, the start of the workers included")
    return _assemble(parts, arguments, tuple(inspector.evidence))


def _job(inspector: Inspector, model: Path, arguments: argparse.Namespace, config: Config, tag: str) -> Job:
    from fastener.distributed.ray_engine import Shipped
    from fastener.distributed.registered import Registered
    from fastener.distributed.scoring import Job
    from fastener.models.backbones import BACKBONES
    from fastener.models.runtime.weights import find_weights

    settings = inspector.config.model_copy(update={"run": config.run})
    file = None if inspector.holds_networks else find_weights(BACKBONES[inspector.backbone], arguments.weights)
    weights = None if file is None else Shipped.of(file)
    with tempfile.TemporaryDirectory() as folder:
        if model.is_dir() or inspector.holds_networks:  # as one file, with its networks
            model = Path(folder) / "model.pkl"
            inspector.save(model)
        registered = Registered.of(inspector.evidence, inspector.backbone)
        return Job(Shipped.of(model), weights, registered, settings, tag, arguments.visualize)


def _written(
    results: Iterable[tuple[Shard, list[Scored]]], names: dict[str, Path], output: Path, kinds: tuple[str, ...]
) -> Iterator[str]:
    """Write each shard as it comes, after the pictures of its images; yields the images."""
    from fastener.distributed import shards

    for shard, scored in results:
        for image, one in zip(shard.images, scored, strict=True):
            for prefix, content in one.pictures.items():
                name = names[image]
                write_atomically(output / name.parent / f"{prefix}_{name.name}.png", content)
        shards.write(shard, [one.record for one in scored], kinds)
        yield from shard.images


def _assemble(parts: Sequence[Shard], arguments: argparse.Namespace, kinds: tuple[str, ...]) -> int:
    """results.json and results.csv from all shards, in the order of the images; the counts, and what failed."""
    from fastener.distributed import shards
    from fastener.inspection.tables import Counts
    from fastener.inspection.writers import WRITERS, Finding, open_writers

    # Pictures were drawn by the workers.
    tables = [name for name, writer in WRITERS.items() if getattr(arguments, name) and not writer.draws]
    counts = Counts()
    with ExitStack() as stack:
        writers = open_writers(stack, tables, arguments.output, kinds=kinds)
        for part in parts:
            for entry in shards.read(part):
                for writer in writers:
                    writer.write(Finding(entry))
                counts.add(entry)
                if "error" in entry:
                    cli.warn(entry["error"])
    print(counts.line())
    return cli.EXIT_SOME_FAILED if counts.failed else cli.EXIT_OK


def trained(photos: list[Path], config: Config, arguments: argparse.Namespace) -> Inspector:
    """One model, its photos shared out among the workers; says how well its banks cover them."""
    require_ray()
    from fastener.distributed import ray_engine
    from fastener.distributed.training import train

    with ray_engine.joined(arguments.cluster, arguments.cores) as workers:
        cli.say(f"learning {len(photos)} photos on {workers.describe()}")
        inspector, covers = train(photos, config, workers, arguments.weights, cli.progress, cli.warn)
    for cover in covers:
        cli.say(cover.describe())
    return inspector


def train_categories(jobs: Sequence[TrainingJob], config: Config, arguments: argparse.Namespace) -> int:
    """A model for each category, one on each worker at a time; each is written as it is done."""
    require_ray()
    from fastener.distributed import ray_engine
    from fastener.distributed.categories import train_side_by_side
    from fastener.inspection.choice import choose

    photos = {job.name: job.photos for job in jobs}
    outputs = {job.name: job.output for job in jobs}
    for path in outputs.values():
        check_writable(path)
    choice = choose(config, arguments.weights)
    if choice.warning:
        cli.warn(choice.warning)
    failed = 0
    with ray_engine.joined(arguments.cluster, arguments.cores) as workers:
        cli.say(f"training {len(outputs)} categories on {workers.describe()}")
        done = train_side_by_side(photos, config, choice, workers, cli.warn)
        for one in cli.progress(done, len(outputs), "training"):
            if one.error:
                cli.warn(one.error)
                failed += 1
                continue
            write_atomically(outputs[one.name], one.model)
            cli.say(f"{one.name}: {one.text}\nsaved {outputs[one.name]}")
    return cli.EXIT_SOME_FAILED if failed else cli.EXIT_OK
