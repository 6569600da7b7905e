"""Measure the time and memory of fitting from image files, and how both grow with the number of images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fastener.benchmarks.asking import MEGABYTE, OURS, as_torch_file, scratch
from fastener.benchmarks.features import resnet18_weights, spread, training_photos
from fastener.benchmarks.growth import exponent, growth_figure, sizes
from fastener.benchmarks.machine import Machine, measure_machine
from fastener.benchmarks.report import Report
from fastener.benchmarks.work import distances_flop, network_flop
from fastener.datasets.synthetic.demo_dataset import write_png
from fastener.evaluation.visualize import save_figure
from fastener.models.backbones import BACKBONES
from fastener.models.feature_extractor import FeatureExtractor
from fastener.models.runtime.cnn import build_network

SIZE = (224, 224)
PATCHES = (SIZE[0] // 8) * (SIZE[1] // 8)  # of one image, on the grid of layer 2
CHANNELS = 384
STAGES = ("reading", "coreset", "calibrating")


def run(arguments: argparse.Namespace) -> Report:
    """Fit an eighth, a quarter, a half and all of the photos, each in a process of its own."""
    weights = resnet18_weights(arguments.weights)
    kept = "patches by the settings' rule" if arguments.keep is None else f"{arguments.keep:.0%} of patches"
    shown = "drawn textures" if arguments.category_dir is None else arguments.category_dir.name
    report = Report(f"fit, ResNet-18 at {SIZE[1]} px, {kept}, {shown}", measure_machine())
    with scratch() as folder:
        photos = _photos(arguments, Path(folder))
        file = as_torch_file(weights, Path(folder))
        for count in sizes(len(photos)):
            answer = OURS.ask(
                "fit", images=[str(p) for p in spread(photos, count)], weights=str(file), keep=arguments.keep
            )
            report.rows.append(_row(count, answer, report.machine))
    counts = [row["images"] for row in report.rows]
    for name in ("seconds", "cpu_s", *STAGES, "peak_mb"):
        power = exponent(counts, [row[name] for row in report.rows])
        report.notes.append(f"{name} grows as images^{power:.2f}")
    if arguments.plot:
        names = {"seconds": "seconds", "processor time": "cpu_s", **dict(zip(STAGES, STAGES, strict=True))}
        seconds = {name: [row[key] for row in report.rows] for name, key in names.items()}
        memory = {
            "peak of the process": [row["peak_mb"] for row in report.rows],
            "of it, libraries": [row["imported_mb"] for row in report.rows],
            "features in float32, which are never held": [row["float32_mb"] for row in report.rows],
        }
        save_figure(growth_figure(counts, seconds, memory), arguments.plot)
    return report


def _photos(arguments: argparse.Namespace, folder: Path) -> list[Path]:
    if arguments.category_dir is None:
        photos = [draw_texture(folder, number) for number in range(arguments.textures)]
    else:
        photos = training_photos(arguments.category_dir)
    return spread(photos, min(len(photos), arguments.photos or len(photos)))


def draw_texture(folder: Path, number: int) -> Path:
    """Write a photo of 128 px into ``folder``: smooth colour noise of coarse or fine grain, drawn from ``number``."""
    file, rng = folder / f"{number:06}.png", np.random.default_rng(number)
    grains = int(rng.integers(4, 33))
    coarse = rng.integers(0, 256, (grains, grains, 3), dtype=np.uint8)
    write_png(file, cv2.resize(coarse, (128, 128), interpolation=cv2.INTER_LINEAR))
    return file


def fit_flop(count: int, kept: int, network: float) -> float:
    """All images through the network, all patches to all picks, and once more each image to the bank, to calibrate."""
    patches = count * PATCHES
    return count * network + 2 * distances_flop(patches, kept, CHANNELS)


def resnet18_flop() -> float:
    """One image through ResNet-18, to layer 3."""
    backbone = BACKBONES["resnet18"]
    return network_flop(FeatureExtractor(build_network(backbone, backbone.layers, None)), SIZE)


def _row(count: int, answer: dict[str, Any], machine: Machine) -> dict[str, Any]:
    stages, kept = answer["stages"], answer["bank"][0]
    return {
        "images": count,
        "patches": count * PATCHES,
        "kept": kept,
        "seconds": answer["seconds"],
        "cpu_s": answer["cpu_seconds"],
        **{name: stages.get(name, 0.0) for name in STAGES},
        **machine.beside(answer["seconds"], fit_flop(count, kept, resnet18_flop())),
        "peak_mb": answer["peak_bytes"] / MEGABYTE,
        "imported_mb": answer["imported_bytes"] / MEGABYTE,
        "float32_mb": 4 * count * PATCHES * CHANNELS / MEGABYTE,
    }
