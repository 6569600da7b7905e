"""Detect cracks in rendered CT slices by both detectors: python benchmarks/ct_slices.py --seed 100 [--rf-detr-epochs N]

PatchCore trains on six good batteries of 20 slices. With --rf-detr-epochs, RF-DETR trains from random weights on five
labelled batteries (24 slices). Both then inspect the same six other batteries of 40 slices, three of which are cracked.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastener.anode.evaluation import evaluate, table
from fastener.anode.good_slices import read_good_slices
from fastener.anode.hits import Predictor
from fastener.anode.patchcore import PatchCoreDetector, train
from fastener.anode.settings import AnodeSettings
from fastener.anode.volumes import inspect_volume
from fastener.commands import cli
from fastener.common.settings import load_settings
from fastener.datasets.ct_folders import list_volumes
from fastener.datasets.ct_labels import read_labels
from fastener.datasets.synthetic.ct import write_ct_dataset


def main() -> int:
    """Render, learn, inspect, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="filters")
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--rf-detr-epochs", type=int, default=0, metavar="N", help="also train RF-DETR, for N epochs")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = load_settings(
            AnodeSettings,
            "configs/anode.yaml",
            [f"output_dir_model_rf_detr={folder / 'model'}", f"backbone={arguments.backbone}", *arguments.set],
        )
        start = time.perf_counter()
        detectors = {"patchcore": patchcore(folder / "good", arguments.seed, settings)}
        print(f"PatchCore ({arguments.backbone}) learned in {time.perf_counter() - start:.0f} s", flush=True)
        if arguments.rf_detr_epochs:
            start = time.perf_counter()
            detectors["rf_detr"] = rf_detr(folder, arguments.seed + 2, settings, arguments.rf_detr_epochs)
            print(f"RF-DETR learned in {time.perf_counter() - start:.0f} s", flush=True)
        write_ct_dataset(folder / "in", good=3, cracked=3, slices=40, seed=arguments.seed + 1)
        volumes = list_volumes(folder / "in").volumes
        start = time.perf_counter()
        results = [inspect_volume(volume, settings, detectors) for volume in volumes]
        print(f"inspected {40 * len(volumes)} slices in {time.perf_counter() - start:.0f} s\n")
        print(table(evaluate(results, read_labels(folder / "in" / "labels.csv", volumes), settings)))
    return cli.EXIT_OK


def patchcore(folder: Path, seed: int, settings: AnodeSettings) -> dict[str, Predictor]:
    """Train PatchCore for each region on good batteries that are rendered into ``folder``."""
    write_ct_dataset(folder, good=6, cracked=0, slices=20, seed=seed)
    good = read_good_slices(list_volumes(folder), settings)
    return {one.name: PatchCoreDetector(train(good, one, settings), settings) for one in settings.roi_config}


def rf_detr(folder: Path, seed: int, settings: AnodeSettings, epochs: int) -> dict[str, Predictor]:
    """Train RF-DETR at a small resolution on labelled batteries that are rendered into ``folder``."""
    from fastener.anode.coco import export_coco
    from fastener.anode.detector import RfDetr

    write_ct_dataset(folder / "labelled", good=1, cracked=4, slices=8, seed=seed)
    volumes = list_volumes(folder / "labelled").volumes
    small = settings.rf_detr.model_copy(
        update={"resolution": 64, "num_queries": 50, "epochs": epochs, "learning_rate": 3e-4}
    )
    settings = settings.model_copy(update={"rf_detr": small})
    export_coco(volumes, read_labels(folder / "labelled" / "labels.csv", volumes), settings, folder / "coco")
    detector = RfDetr.untrained(settings, cli.say)
    losses = detector.fit(folder / "coco")
    print(f"training loss {losses[0]:.2f} in the first epoch, {losses[-1]:.2f} in the last")
    return {region.name: detector for region in settings.roi_config}


if __name__ == "__main__":
    cli.run(main)
