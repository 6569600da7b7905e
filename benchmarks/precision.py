"""Compare speed and accuracy of numeric precisions: python benchmarks/precision.py --weights F [--category-dir D]

Speed is measured on the network alone, from images to the feature maps of its layers: medians of interleaved rounds,
compared with torch's eager float32. Accuracy needs --category-dir (MVTec layout): one model of all training photos for
each precision, and its image AUROC on the test photos with a 95 % bootstrap interval. fp32 is computed by torch and by
ONNX Runtime. Each model has its own bank, so scores differ by more than the rounding of the network.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastener.commands import cli
from fastener.config import load_config
from fastener.datasets.labelled_image import LabelledImage
from fastener.datasets.mvtec import load_category
from fastener.datasets.synthetic.parts import KINDS, render_part
from fastener.evaluation.metrics import auroc, bootstrap_ci
from fastener.inspection.inspector import Inspector
from fastener.inspection.pretrained import quantise
from fastener.inspection.result import Inspection
from fastener.models.backbones import BACKBONES
from fastener.models.feature_extractor import FeatureExtractor
from fastener.models.runtime.cnn import build_network, cnn_extractor
from fastener.models.runtime.onnx_network import OnnxNetwork, to_onnx

MVTEC = Path(__file__).resolve().parents[1] / "configs" / "mvtec_paper.yaml"
ROUNDS = 15
MODES = (("fp32", "torch"), ("fp32", "onnx"), ("bf16", "torch"), ("int8", "onnx"))
# Thresholds are not used here, so a few photos are enough for the calibration.
SETTING = ("model.target_dim=null", "model.num_neighbors=1", "evidence=[cnn]", "calibration.max_photos=10")


def main() -> int:
    """Measure and print two tables."""
    arguments = _arguments()
    side = arguments.side
    photos = [render_part(seed, KINDS[seed % len(KINDS)], size=(side, side)).image for seed in range(16)]
    print_speed(arguments.backbone, arguments.weights, np.stack(photos))
    if arguments.category_dir is not None:
        print_accuracy(arguments)
    return cli.EXIT_OK


def print_speed(name: str, weights: Path, photos: np.ndarray) -> None:
    """Print the milliseconds of each network on batches of 1 and 8, and the speed-up over the first row."""
    backbone = BACKBONES[name]
    plain = build_network(backbone, backbone.layers, weights).eval().requires_grad_(False)
    networks: dict[str, Callable[[torch.Tensor], object]] = {"torch fp32, as torchvision has it": plain}
    for precision, runtime in MODES:
        extractor = in_mode(name, weights, precision, runtime, photos)
        networks[f"{runtime} {precision}"] = partial(run_network, extractor)
    print(f"{name}, {photos.shape[1]} px, {torch.get_num_threads()} threads\n| network | batch | ms | times as fast |")
    print("|---|---|---|---|")
    for size in (1, 8):
        batch = torch.from_numpy(photos[:size]).permute(0, 3, 1, 2) / 255
        seconds = interleaved([partial(network, batch) for network in networks.values()])
        for label, one in zip(networks, seconds, strict=True):
            print(f"| {label} | {size} | {1000 * one:.1f} | {seconds[0] / one:.2f} |")


def run_network(extractor: FeatureExtractor, batch: torch.Tensor) -> object:
    """Run the network on RGB float32 (n, 3, H, W) in [0, 1]."""
    return extractor.network(batch.to(extractor.dtype))


def in_mode(name: str, weights: Path, precision: str, runtime: str, photos: np.ndarray) -> FeatureExtractor:
    """Build the extractor as the toolkit does; the second half of the photos sets the ranges of int8."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    extractor, digest = cnn_extractor(BACKBONES[name], weights, dtype=dtype)
    if runtime == "onnx":
        extractor.network = OnnxNetwork(to_onnx(extractor.network, digest))
    if precision == "int8":
        quantise(extractor, photos[len(photos) // 2 :])
    return extractor


@torch.inference_mode()
def interleaved(calls: Sequence[Callable[[], object]]) -> list[float]:
    """Measure the median seconds of each call; calls take turns, so that a busy machine slows all of them equally."""
    seconds: list[list[float]] = [[] for _ in calls]
    for round_ in range(ROUNDS + 2):
        for call, taken in zip(calls, seconds, strict=True):
            start = time.perf_counter()
            call()
            if round_ >= 2:
                taken.append(time.perf_counter() - start)
    return [float(np.median(taken)) for taken in seconds]


def print_accuracy(arguments: argparse.Namespace) -> None:
    """Print the image AUROC on the test photos for each mode."""
    category = load_category(arguments.category_dir.parent, arguments.category_dir.name)
    labels = np.array([image.is_anomalous for image in category.test])
    print(f"{category.name}, {arguments.backbone}, coreset {arguments.coreset_ratio:g}, {len(labels)} test photos")
    print("| network | AUROC (95 %) | largest change of a score | learned in s | s per photo |\n|---|---|---|---|---|")
    reference: np.ndarray | None = None
    for precision, runtime in MODES:
        flags = {
            "run.precision": precision,
            "run.runtime": runtime,
            "model.backbone": arguments.backbone,
            "model.coreset_ratio": arguments.coreset_ratio,
        }
        config = load_config(MVTEC, [*SETTING, *arguments.set], flags)
        start = time.perf_counter()
        inspector = Inspector.fit(list(category.train), config, weights=arguments.weights)
        learned = time.perf_counter() - start
        scores, seconds = score(inspector, category.test)
        reference = scores if reference is None else reference
        low, high = bootstrap_ci(labels, scores)
        print(
            f"| {runtime} {precision} | {auroc(labels, scores):.4f} ({low:.3f} to {high:.3f}) "
            f"| {np.abs(scores - reference).max():.4f} | {learned:.0f} | {seconds:.3f} |",
            flush=True,
        )


def score(inspector: Inspector, images: Sequence[LabelledImage]) -> tuple[np.ndarray, float]:
    """Return the raw scores of the CNN (n,), and the mean seconds per photo."""
    start = time.perf_counter()
    scores = []
    for result in inspector.stream([image.path for image in images]):
        assert isinstance(result, Inspection)
        scores.append(result.evidence["cnn"].score)
    return np.array(scores), (time.perf_counter() - start) / len(scores)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet18", metavar="B")
    parser.add_argument("--weights", type=Path, required=True, metavar="F", help="weights of the backbone")
    parser.add_argument("--side", type=int, default=224, metavar="PX", help="side of the images (default: 224)")
    parser.add_argument("--category-dir", type=Path, metavar="D", help="an MVTec category's folder, for the accuracy")
    parser.add_argument("--coreset-ratio", type=float, default=0.025, metavar="R")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting for every row")
    return parser.parse_args()


if __name__ == "__main__":
    cli.run(main)
