"""Find cracks in the anode edges of CT slices: PatchCore learns from good slices, RF-DETR from labelled slices."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fastener.anode.settings import AnodeSettings
from fastener.commands import cli
from fastener.common.files import CONFIGS, check_writable
from fastener.common.settings import load_settings

if TYPE_CHECKING:
    from fastener.anode.hits import Predictor
    from fastener.anode.volumes import Detectors
    from fastener.datasets.ct_folders import Listing

EXAMPLE = "python anode_inspection.py train-patchcore --config configs/anode.yaml"
PRESET = CONFIGS / "anode.yaml"


def main() -> int:
    arguments = _arguments()
    settings = load_settings(AnodeSettings, arguments.config or PRESET, arguments.set, cli.run_flags(arguments))
    return COMMANDS[arguments.command](settings, arguments)


def train_patchcore(settings: AnodeSettings, arguments: argparse.Namespace) -> int:
    """Learn one model for each region from good slices."""
    from fastener.anode import patchcore
    from fastener.anode.good_slices import read_good_slices
    from fastener.anode.regions import check_regions
    from fastener.datasets.ct_folders import list_good_slices

    listing = list_good_slices(settings.good_images_dir, settings.axis_names, _numbers(settings))
    _report(listing)
    check_regions(settings.roi_config, listing.volumes)
    for region in settings.roi_config:
        check_writable(patchcore.model_file(region.name, settings))
    good = read_good_slices(listing, settings, progress=cli.progress, warn=cli.warn)
    for region in settings.roi_config:
        file = patchcore.model_file(region.name, settings)
        inspector = patchcore.train(
            good, region, settings, weights=arguments.weights, progress=cli.progress, warn=cli.warn
        )
        inspector.save(file)
        print(f"region {region.name}: {inspector.describe()}\nsaved {file}")
    return cli.EXIT_OK


def train_rf_detr(settings: AnodeSettings, arguments: argparse.Namespace) -> int:
    """Export the labelled slices as a COCO data set, and train on it."""
    from fastener.anode.coco import export_coco
    from fastener.anode.detector import RfDetr, checkpoint_file
    from fastener.anode.regions import check_regions
    from fastener.datasets.ct_folders import list_volumes
    from fastener.datasets.ct_labels import read_labels

    detector = RfDetr.untrained(settings, cli.say, show_progress=sys.stderr.isatty())
    listing = list_volumes(settings.labelled_dir, settings.axis_names, _numbers(settings))
    _report(listing)
    check_regions(settings.roi_config, listing.volumes)
    labels = read_labels(settings.labelled_dir / "labels.csv", listing.volumes, listing.passed_over)
    check_writable(checkpoint_file(settings))
    dataset = settings.output_dir_model_rf_detr / "coco"
    for split in export_coco(listing.volumes, labels, settings, dataset, progress=cli.progress, warn=cli.warn):
        print(f"{split.name}: {', '.join(split.batteries)}; {split.images} images, {split.boxes} boxes")
    losses = detector.fit(dataset)
    print(f"training loss {losses[0]:.3f} in the first epoch, {losses[-1]:.3f} in the last of {len(losses)}")
    print(f"saved {checkpoint_file(settings)}")
    return cli.EXIT_OK


def infer(settings: AnodeSettings, arguments: argparse.Namespace) -> int:
    """Inspect every slice with the detectors of the command, and write pictures, tables and a summary."""
    from fastener.anode.evaluation import evaluate, table
    from fastener.anode.pictures import PictureWriter
    from fastener.anode.regions import check_regions
    from fastener.anode.report import describe, earlier_results, summarise, write_json, write_tables
    from fastener.anode.volumes import inspect_volume
    from fastener.datasets.ct_folders import list_volumes
    from fastener.datasets.ct_labels import read_labels

    listing = list_volumes(settings.input_dir, settings.axis_names, _numbers(settings))
    _report(listing)
    check_regions(settings.roi_config, listing.volumes)
    check_writable(settings.output_inference_dir / "results.json")
    labels_file = settings.input_dir / "labels.csv"
    labels = read_labels(labels_file, listing.volumes, listing.passed_over) if labels_file.is_file() else None
    detectors = _detectors(settings, arguments)
    start = time.perf_counter()
    results = []
    for volume in listing.volumes:
        draw = PictureWriter(volume, detectors, settings.output_inference_dir)
        result = inspect_volume(volume, settings, detectors, progress=cli.progress, show=draw)
        for error in result.errors.values():
            cli.warn(error)
        results.append(result)
    summary = summarise(results, time.perf_counter() - start)
    if labels is not None:
        summary["evaluation"] = evaluate(results, labels, settings)
    if settings.export_ai_csv_files:
        write_tables(results, settings)
    write_json(results, summary, settings)
    if old := earlier_results(results, settings):
        more = f" and {len(old) - 3} more" if len(old) > 3 else ""
        cli.warn(
            f"{settings.output_inference_dir}: {', '.join(old[:3])}{more} are of an earlier run; move them away, so "
            "that they are not taken for new ones"
        )
    for line in describe(summary, settings.consecutive_slices):
        print(line)
    if labels is not None:
        print(table(summary["evaluation"]))
    print(f"wrote {settings.output_inference_dir / 'results.json'}")
    return cli.EXIT_SOME_FAILED if summary["slices_failed"] or listing.problems else cli.EXIT_OK


COMMANDS = {
    "train-patchcore": train_patchcore,
    "infer-patchcore": infer,
    "train-rf-detr": train_rf_detr,
    "infer-rf-detr": infer,
    "infer-both": infer,
}


def _arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__, EXAMPLE)
    parser.add_argument("command", choices=list(COMMANDS), help="what to do; the folders stand in the settings")
    parser.add_argument(
        "--weights", type=Path, metavar="F", help="file of the backbone's weights; default: searched for"
    )
    return parser.parse_args()


def _detectors(settings: AnodeSettings, arguments: argparse.Namespace) -> Detectors:
    """Load the detectors of the command: for each detector, a predictor for each region."""
    detectors: dict[str, dict[str, Predictor]] = {}
    names = [region.name for region in settings.roi_config]
    if arguments.command != "infer-rf-detr":
        from fastener.anode.patchcore import PatchCoreDetector

        device = settings.run.device
        detectors["patchcore"] = {
            name: PatchCoreDetector.load(name, settings, device, arguments.weights) for name in names
        }
    if arguments.command != "infer-patchcore":
        from fastener.anode.detector import RfDetr

        detectors["rf_detr"] = dict.fromkeys(names, RfDetr.trained(settings))
    return detectors


def _numbers(settings: AnodeSettings) -> tuple[int, int] | None:
    chosen = settings.filter_index_range
    return None if chosen is None else (chosen.min, chosen.max)


def _report(listing: Listing) -> None:
    for problem in listing.problems:
        cli.warn(problem)
    if listing.left_out:
        count = listing.left_out
        cli.warn(
            f"{count} slice(s) with numbers outside filter_index_range are left out; set it to null to take in all"
        )


if __name__ == "__main__":
    cli.run(main)
