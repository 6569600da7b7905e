"""The work of anode_inspection.py: each command reads slices, trains or inspects, and writes files."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from fastener.anode.settings import AnodeSettings
from fastener.commands import cli
from fastener.common.errors import UserError
from fastener.common.files import check_writable

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastener.anode.hits import Predictor
    from fastener.anode.volumes import Detectors, InspectedSlice
    from fastener.datasets.ct_folders import Listing

    Show = Callable[[InspectedSlice], None]


def train_patchcore(settings: AnodeSettings, arguments: argparse.Namespace) -> int:
    """Learn one model for each region from good slices."""
    from fastener.anode import patchcore
    from fastener.anode.good_slices import read_good_slices
    from fastener.anode.regions import check_regions
    from fastener.anode.wording import of_slices
    from fastener.datasets.ct_folders import list_good_slices

    listing = list_good_slices(settings.good_images_dir, settings.axis_names, _numbers(settings))
    _report(listing)
    check_regions(settings.roi_config, listing.volumes)
    for region in settings.roi_config:
        check_writable(patchcore.model_file(region.name, settings))
    unread: list[str] = []
    good = read_good_slices(listing, settings, progress=cli.progress, warn=_and_kept(unread))
    for region in settings.roi_config:
        file = patchcore.model_file(region.name, settings)
        if arguments.update:
            detector = patchcore.PatchCoreDetector.load(region.name, settings, settings.run.device, arguments.weights)
            inspector, before = detector.inspector, detector.inspector.threshold
            patchcore.update(inspector, good, region, progress=cli.progress)
            print(
                f"region {region.name}: threshold {before:.3f} before, {inspector.threshold:.3f} now "
                "(earlier slices keep the scores of the smaller bank, so it errs upwards)"
            )
        else:
            inspector = patchcore.train(
                good, region, settings, weights=arguments.weights, progress=cli.progress, warn=cli.warn
            )
        inspector.save(file)
        print(f"region {region.name}: {of_slices(inspector.describe())}")
        print(f"{patchcore.spread_line(inspector)}\nsaved {file}")
    return _told(listing, unread)


def export_patchcore(settings: AnodeSettings, arguments: argparse.Namespace) -> int:
    """Write the model of each region as a folder for ONNX Runtime, in int8 or fp32, see --precision.

    In fp32 the model gives the scores of train-patchcore; in int8, bank and threshold are fitted anew to good slices.
    """
    from fastener.anode import patchcore
    from fastener.anode.good_slices import read_good_slices
    from fastener.anode.wording import of_slices
    from fastener.datasets.ct_folders import list_good_slices
    from fastener.inspection.inspector import Inspector
    from fastener.inspection.model_folder import MODEL_FILE, size_of

    precision = "int8" if settings.run.precision == "int8" else "fp32"
    run = settings.run.model_copy(update={"device": "cpu", "precision": precision, "runtime": "onnx"})
    asked = settings.model_copy(update={"run": run})
    if settings.backbone == "filters":
        raise UserError("backbone: filters have no network to export; their models run anywhere as they are")
    good = None
    if precision == "int8":  # only then is anything learned
        listing = list_good_slices(settings.good_images_dir, settings.axis_names, _numbers(settings))
        _report(listing)
        good = read_good_slices(listing, asked, progress=cli.progress, warn=cli.warn)
    for region in settings.roi_config:
        folder = patchcore.exported_model(region.name, settings, precision)
        check_writable(folder / MODEL_FILE)
        if good is None:
            file = patchcore.model_file(region.name, settings)
            inspector = Inspector.load(file, "cpu", weights=arguments.weights, run=run)
        else:
            inspector = patchcore.train(good, region, asked, weights=arguments.weights, progress=cli.progress)
        inspector.save(folder / MODEL_FILE)
        print(f"region {region.name}: {of_slices(inspector.describe())}")
        print(f"saved {folder}, in {precision}: {size_of(folder)}")
    print(f"to use it: --precision {precision} --runtime onnx")
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
    unread: list[str] = []
    warn = _and_kept(unread)
    for split in export_coco(listing.volumes, labels, settings, dataset, progress=cli.progress, warn=warn):
        print(f"{split.name}: {', '.join(split.batteries)}; {split.images} images, {split.boxes} boxes")
    losses = detector.fit(dataset)
    print(f"training loss {losses[0]:.3f} in the first epoch, {losses[-1]:.3f} in the last of {len(losses)}")
    print(f"saved {checkpoint_file(settings)}")
    return _told(listing, unread)


def infer(settings: AnodeSettings, arguments: argparse.Namespace) -> int:
    """Inspect every slice with the detectors of the command, and write pictures, tables and a summary."""
    from fastener.anode.doubts import about_threshold, doubts, suggestion
    from fastener.anode.evaluation import evaluate, table
    from fastener.anode.overview import HitSheet, write_overview
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
    thresholds, calibrated = _thresholds(settings, detectors)
    for line in about_threshold(settings, calibrated):
        cli.warn(line)
    start = time.perf_counter()
    results = []
    for volume in listing.volumes:
        draw, sheet = PictureWriter(volume, detectors, settings.output_inference_dir), HitSheet(settings)
        result = inspect_volume(volume, settings, detectors, progress=cli.progress, show=_both(draw, sheet))
        for error in result.errors.values():
            cli.warn(error)
        write_overview(result, sheet, settings, thresholds)
        results.append(result)
    summary = summarise(results, time.perf_counter() - start)
    summary["thresholds"] = {"used": thresholds, "calibrated": calibrated}
    summary["not_read"] = list(listing.problems)
    summary["doubts"] = list(doubts(results, settings))
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
    for line in summary["doubts"]:
        cli.warn(line)
    if settings.patchcore_threshold == "suggest":
        for line in suggestion(results, settings, calibrated):
            print(line)
    if listing.problems:
        print(f"{len(listing.problems)} file(s) or folder(s) were not read, see the warnings")
    if labels is not None:
        print(table(summary["evaluation"]))
    print(f"wrote {settings.output_inference_dir / 'results.json'}")
    return cli.EXIT_SOME_FAILED if summary["slices_failed"] or listing.problems else cli.EXIT_OK


def _and_kept(lines: list[str]) -> Callable[[str], None]:
    """Make a function that warns of a line and keeps it in ``lines``."""

    def warn(line: str) -> None:
        cli.warn(line)
        lines.append(line)

    return warn


def _told(listing: Listing, unread: list[str]) -> int:
    """Say how much was not read, and return the exit code."""
    if count := len(listing.problems) + len(unread):
        print(f"{count} file(s), slice(s) or folder(s) were not read, see the warnings")
    return cli.EXIT_SOME_FAILED if listing.problems or unread else cli.EXIT_OK


def _both(first: Show, second: Show) -> Show:
    def show(one: InspectedSlice) -> None:
        first(one)
        second(one)

    return show


def _thresholds(settings: AnodeSettings, detectors: Detectors) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Collect the threshold of each detector and region, and the calibrated ones of PatchCore by region."""
    from fastener.anode.patchcore import PatchCoreDetector, few_batteries

    used: dict[str, dict[str, float]] = {}
    calibrated: dict[str, float] = {}
    for name, of_region in detectors.items():
        used[name] = {}
        for region, detector in of_region.items():
            used[name][region] = settings.rf_detr_threshold
            if isinstance(detector, PatchCoreDetector):
                used[name][region], calibrated[region] = detector.threshold, detector.inspector.threshold
                if (line := few_batteries(region, detector.inspector)) is not None:
                    cli.warn(line)
    return used, calibrated


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
