"""Measure the peak memory of fitting and inspecting, and compare it with the memory that is needed at least."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fastener.benchmarks.asking import MEGABYTE, OURS, as_torch_file, scratch
from fastener.benchmarks.features import resnet18_weights, spread, training_photos
from fastener.benchmarks.fit import CHANNELS, PATCHES
from fastener.benchmarks.machine import measure_machine
from fastener.benchmarks.report import Report

LIMITS_MB = (2048, 64, 0)  # of features in memory while fitting
BATCHES = (1, 8)


def run(arguments: argparse.Namespace) -> Report:
    """Fit under several memory limits and inspect in batches of 1 and 8, each in a process of its own."""
    photos, weights = training_photos(arguments.category_dir), resnet18_weights(arguments.weights)
    photos = spread(photos, min(len(photos), arguments.photos or len(photos)))
    images = [str(photo) for photo in photos]
    report = Report(f"memory, {len(images)} images, {arguments.keep:.0%} of patches", measure_machine())
    with scratch() as folder:
        file, model = str(as_torch_file(weights, Path(folder))), str(Path(folder) / "model.pkl")
        network = Path(file).stat().st_size / MEGABYTE
        half = 2 * len(images) * PATCHES * CHANNELS / MEGABYTE
        bank = 0.0
        for limit in LIMITS_MB:
            assignments = [f"run.memory_limit_mb={limit}"]
            answer = OURS.ask(
                "fit", images=images, weights=file, keep=arguments.keep, model=model, assignments=assignments
            )
            bank = 4 * answer["bank"][0] * answer["bank"][1] / MEGABYTE
            # Features that exceed the limit are all kept in a file.
            needed = network + bank + (half if half <= limit else 0.0)
            report.rows.append(_row(f"fit, memory limit {limit} MB", answer, needed))
        for batch in BATCHES:
            answer = OURS.ask("inspect", images=images[: 4 * batch], weights=file, model=model, batch=batch)
            report.rows.append(_row(f"inspect, batch {batch}", answer, network + bank))
    report.notes.append(
        f"features of all images: {half:.0f} MB in half precision, {2 * half:.0f} MB in float32 (never allocated)"
    )
    report.notes.append("limit_mb: weights, bank, and the features that fit into the memory limit")
    return report


def _row(what: str, answer: dict[str, Any], needed: float) -> dict[str, Any]:
    peak, imported = answer["peak_bytes"] / MEGABYTE, answer["imported_bytes"] / MEGABYTE
    return {
        "what": what,
        "peak_mb": peak,
        "imported_mb": imported,
        "own_mb": peak - imported,
        "limit_mb": needed,
        "times_limit": (peak - imported) / needed,
    }
