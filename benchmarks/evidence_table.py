"""Compare kinds of evidence: python benchmarks/evidence_table.py --fasteners D --mvtec-screw D --backbone B

The script prints a Markdown table of image AUROC with 95 % intervals: the CNN alone, the filters alone, both, and with
colour (fasteners only). Models train on the training split; fasteners are scored on valid and test together.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastener.commands import cli
from fastener.config import Config, load_config
from fastener.datasets.csv_splits import load_splits
from fastener.datasets.labelled_image import LabelledImage
from fastener.datasets.mvtec import load_category
from fastener.evaluation.measure import Measurement
from fastener.evaluation.metrics import auroc, bootstrap_ci
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Inspection

ROWS = {"cnn": ("cnn",), "filters": ("filters",), "cnn + filters": ("cnn", "filters")}
COLOUR_ROWS = {"colour": ("colour",), "all three": ("cnn", "filters", "colour")}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fasteners", type=Path, metavar="D", help="folder with train|valid|test/_classes.csv")
    parser.add_argument("--mvtec-screw", type=Path, metavar="D", help="an MVTec category's folder")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    flags = {"model.backbone": arguments.backbone}
    print("| data | evidence | images (anomalous) | image AUROC (95 % interval) | seconds to learn | per image |")
    print("|---|---|---|---|---|---|")
    if arguments.fasteners:
        train = [
            image.path
            for split in load_splits(arguments.fasteners, ["train"])
            for image in split.images
            if not image.is_anomalous
        ]
        test = [image for split in load_splits(arguments.fasteners, ["valid", "test"]) for image in split.images]
        for name, kinds in {**ROWS, **COLOUR_ROWS}.items():
            row("fasteners", name, load_config(None, arguments.set, {**flags, "evidence": kinds}), train, test)
    if arguments.mvtec_screw:
        folder = arguments.mvtec_screw
        category = load_category(folder.parent, folder.name)
        for name, kinds in ROWS.items():
            config = load_config("configs/mvtec.yaml", arguments.set, {**flags, "evidence": kinds})
            row(folder.name, name, config, list(category.train), list(category.test))
    return cli.EXIT_OK


def row(data: str, name: str, config: Config, train: list[Path], test: list[LabelledImage]) -> None:
    """Fit, score and print one line."""
    start = time.perf_counter()
    inspector = Inspector.fit(train, config)
    learned = time.perf_counter() - start
    start = time.perf_counter()
    inspections = tuple(one for one in inspector.stream([i.path for i in test]) if isinstance(one, Inspection))
    seconds = (time.perf_counter() - start) / len(test)
    measurement = Measurement(tuple(test), inspections, inspector.training.groups[:0])
    labels, scores = measurement.labels, measurement.scores
    low, high = bootstrap_ci(labels, scores)
    value = f"{auroc(labels, scores):.3f} ({low:.3f} to {high:.3f})"
    print(f"| {data} | {name} | {len(test)} ({labels.sum()}) | {value} | {learned:.0f} | {seconds:.3f} |", flush=True)


if __name__ == "__main__":
    cli.run(main)
