"""Measure the numbers in docs/scaling.md: python benchmarks/cluster.py STEP --category-dir D --weights FILE --models D

accuracy  train in one process and in shards; AUROC of both models on the test photos, and cover radii
stages    time per image to decode, prepare, score and draw on one core, with the first model of "accuracy"
speed     images per second of one process, and of clusters of this machine's cores, on copies of the test photos
search    search time per patch in banks of several sizes, by kind of index

Stages and search measure processor time of one thread. Compare times within one run only.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastener.config import Config, load_config
from fastener.datasets.images import read_image, shrunk
from fastener.datasets.mvtec import load_category
from fastener.evaluation.categories import measure_category
from fastener.evaluation.metrics import auroc, bootstrap_ci
from fastener.inspection.drawing import png
from fastener.inspection.evidence import StructureEvidence
from fastener.inspection.inspector import Inspector
from fastener.inspection.pictures import PREVIEW_SIDE, detection_picture, overlay_picture
from fastener.inspection.result import Inspection
from fastener.models.memory_bank import MemoryBank
from fastener.models.patchcore import PatchCore
from fastener.preprocessing.pipeline import Preprocessor

T = TypeVar("T")
MVTEC = Path(__file__).resolve().parents[1] / "configs" / "mvtec_paper.yaml"


def accuracy(options: argparse.Namespace, config: Config) -> None:
    from fastener.distributed import ray_engine
    from fastener.distributed.training import train

    root, name = options.category_dir.parent, options.category_dir.name
    category = load_category(root, name)
    start = time.perf_counter()
    single = Inspector.fit(category.train, config, weights=options.weights)
    single.save(options.models / "single.pkl")
    between = time.perf_counter()
    with ray_engine.joined("auto", options.cores) as workers:
        joined = time.perf_counter()
        sharded, covers = train(category.train, config, workers, options.weights)
    end = time.perf_counter()
    sharded.save(options.models / "sharded.pkl")
    print(
        f"one process {between - start:.0f} s; {workers.describe()}: {end - joined:.0f} s, with one machine's coreset"
    )
    for cover in covers:
        print(cover.describe(), f"; proven {cover.radius / cover.least:.2f}")
    scores = {}
    for label, inspector in (("one process", single), ("in shards", sharded)):
        measurement, _ = measure_category(inspector, category)
        scores[label] = measurement.scores
        low, high = bootstrap_ci(measurement.labels, measurement.scores, auroc)
        area = auroc(measurement.labels, measurement.scores)
        print(f"{label}: image AUROC {area:.4f} ({low:.4f} to {high:.4f}), n = {len(measurement.labels)}")
    print(f"scores, rank correlation {spearmanr(*scores.values()).statistic:.4f}")


def stages(options: argparse.Namespace, config: Config) -> None:
    from fastener.distributed.ray_engine import use_cores

    use_cores(1)
    inspector = Inspector.load(options.models / "single.pkl", "cpu", weights=options.weights)
    paths = [image.path for image in load_category(options.category_dir.parent, options.category_dir.name).test][:32]
    photos, decode = _timed(lambda: [read_image(path) for path in paths])
    preprocessor = Preprocessor(inspector.config.preprocess)
    prepared, prepare = _timed(lambda: [preprocessor(photo) for photo in photos])
    images = np.stack([one.image for one in prepared])
    patchcore = _patchcore(inspector)
    features, extract = _timed(lambda: patchcore.extractor(images))
    _, search = _timed(lambda: patchcore.bank_.search_images(features.flatten(1, 2)))
    _, whole = _timed(lambda: inspector.inspect(photos))
    results = [one for one in inspector.inspect(photos) if isinstance(one, Inspection)]
    _, draw = _timed(lambda: [_draw(photo, one) for photo, one in zip(photos, results, strict=True)])
    parts = {"decode": decode, "prepare": prepare, "features": extract, "search": search, "rest": 0.0, "draw": draw}
    parts["rest"] = whole - prepare - extract - search
    print(f"one core, {len(paths)} photos of {photos[0].shape[1]}x{photos[0].shape[0]}, bank {len(patchcore.bank_)}")
    for name, seconds in parts.items():
        print(f"{name:9}{1000 * seconds / len(paths):8.1f} ms an image")
    print(f"all but drawing: {len(paths) / (whole + decode):.1f} images/s")


def speed(options: argparse.Namespace, config: Config) -> None:
    from fastener.distributed import ray_engine, shards
    from fastener.distributed.ray_engine import Shipped
    from fastener.distributed.registered import Registered
    from fastener.distributed.scoring import Job, score

    model = options.models / "single.pkl"
    inspector = Inspector.load(model, "cpu", weights=options.weights)
    test = [image.path for image in load_category(options.category_dir.parent, options.category_dir.name).test]
    with tempfile.TemporaryDirectory() as folder:
        images = []
        for number in range(options.images):
            path = Path(folder) / f"{number:06}.png"
            shutil.copy(test[number % len(test)], path)
            images.append(str(path))
        start = time.perf_counter()
        inspector.inspect(Path(image) for image in images)
        seconds = time.perf_counter() - start
        print(f"one process, {torch.get_num_threads()} threads: {len(images) / seconds:.2f} images/s")
        for cores in (2, 1):
            start = time.perf_counter()
            with ray_engine.joined("auto", cores) as workers:
                registered = Registered.of(inspector.evidence, inspector.backbone)
                job = Job(
                    Shipped.of(model), Shipped.of(options.weights), registered, inspector.config, "T0", pictures=False
                )
                plan = shards.plan(images, options.shard_size, Path(folder) / "shards", str(cores))
                times = [time.perf_counter() for _ in score(plan, job, workers, print)]
            steady = (len(times) - 1) * options.shard_size / (times[-1] - times[0])
            print(f"{workers.describe()}: {steady:.2f} images/s, after {times[0] - start:.1f} s for the first shard")


def search(options: argparse.Namespace, config: Config) -> None:
    from fastener.distributed.ray_engine import use_cores

    use_cores(1)
    inspector = Inspector.load(options.models / "single.pkl", "cpu", weights=options.weights)
    patchcore = _patchcore(inspector)
    category = load_category(options.category_dir.parent, options.category_dir.name)
    preprocessor = Preprocessor(inspector.config.preprocess)

    def patches(paths: list[Path]) -> torch.Tensor:
        prepared = (preprocessor(read_image(path)).image for path in paths)
        return torch.cat([patchcore.extractor(image[None]).flatten(0, 2) for image in prepared])

    rows = patches(list(category.train))
    queries = patches([image.path for image in category.test[:4]])
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    for size in (8192, 32768, 131072, len(rows)):
        bank = MemoryBank(rows[order[:size]])
        exact, flat = _timed(partial(_nearest, bank, queries, exact=True))
        print(f"{size:7} rows, flat: {1e6 * flat / len(queries):9.1f} us a patch")
        for kind in ("ivf", "pq"):
            _, build = _timed(partial(bank.index_by, kind, queries[::7]))
            found, seconds = _timed(partial(_nearest, bank, queries))
            recall = float((found <= exact * (1 + 1e-4) + 1e-6).float().mean())
            effort = bank.index.effort if bank.index is not None else 0
            print(
                f"{size:7} rows, {kind:4}: {1e6 * seconds / len(queries):9.1f} us a patch, recall {recall:.4f}, "
                f"effort {effort}, built in {build:.1f} s"
            )


def _patchcore(inspector: Inspector) -> PatchCore:
    one = inspector.evidence["cnn"]
    assert isinstance(one, StructureEvidence)
    return one.patchcore


def _nearest(bank: MemoryBank, queries: torch.Tensor, exact: bool = False) -> torch.Tensor:
    return bank.search(queries, exact=exact)[0]


def _draw(photo: np.ndarray, result: Inspection) -> list[bytes]:
    small = shrunk(photo, PREVIEW_SIDE)
    return [png(detection_picture(small, result)), png(overlay_picture(small, result))]


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return the result and the seconds of processor time; with one thread this is the time on an idle core."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


STEPS = {step.__name__: step for step in (accuracy, stages, speed, search)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--category-dir", type=Path, required=True, help="a category of MVTec AD")
    parser.add_argument("--weights", type=Path, required=True, help="weights of ResNet-18")
    parser.add_argument("--models", type=Path, required=True, help="folder for the two models")
    parser.add_argument("--cores", type=int, default=1, help="accuracy: cores per worker (default: 1)")
    parser.add_argument("--images", type=int, default=320, help="speed: number of images (default: 320)")
    parser.add_argument("--shard-size", type=int, default=16, help="speed: images per shard (default: 16)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    options.models.mkdir(parents=True, exist_ok=True)
    fixed = ["model.backbone=resnet18", "evidence=[cnn]", "model.coreset_ratio=0.025", "run.device=cpu"]
    STEPS[options.step](options, load_config(MVTEC, [*fixed, *options.set]))


if __name__ == "__main__":
    main()
