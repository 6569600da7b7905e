"""Compare a device with the CPU, and its precisions with one another; gpu_check.sh runs this after the tests.

Networks have random weights, which cost the same time as trained ones, so that nothing has to be downloaded.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastener.benchmarks.machine import measure_machine
from fastener.commands import cli
from fastener.common.files import write_atomically
from fastener.config import Config
from fastener.datasets.synthetic.parts import KINDS, render_part
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Inspection
from fastener.models.backbones import BACKBONES
from fastener.models.coreset import cover_radius, greedy_coreset
from fastener.models.memory_bank import MemoryBank
from fastener.models.runtime.cnn import build_network
from fastener.models.runtime.device import resolve_device

TOLERANCE = 1e-3  # of a score, a distance and a cover radius
BACKBONE = "resnet18"
SEED = 0


def main() -> int:
    """Measure, print and write one JSON; the exit code is 1 if the device and the CPU differ, or a test failed."""
    arguments = _arguments()
    begin = time.perf_counter()
    device = resolve_device(arguments.device)
    small = device.type == "cpu"
    machine = measure_machine(str(device), *((512, 2**22) if small else ()))
    parity = {
        "scores": scores_differ(device),
        "search": search_differs(device, rows=2_000 if small else 100_000),
        "coreset": coreset_differs(device, patches=1_000 if small else 20_000),
    }
    report: dict[str, Any] = {
        "machine": machine.as_dict(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "tests": arguments.tests,
        "parity": parity,
        "precisions": precisions(device, sides=(64,) if small else (224, 256), batches=(1,) if small else (1, 8, 32)),
        "coreset_s": coreset_seconds(device, patches=2_000 if small else 60_000),
    }
    report["passed"] = arguments.tests != "failed" and all(value <= TOLERANCE for value in parity.values())
    report["seconds"] = round(time.perf_counter() - begin, 1)
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.json:
        write_atomically(arguments.json, text + "\n")
    return cli.EXIT_OK if report["passed"] else cli.EXIT_SOME_FAILED


def scores_differ(device: torch.device) -> float:
    """Measure the largest relative difference of a score between one model on the CPU and on ``device``."""
    photos = [render_part(seed, KINDS[seed % len(KINDS)], size=(96, 96)).image for seed in range(12)]
    config = Config.model_validate(
        {
            "preprocess": {"size": 64},
            "model": {"backbone": "filters", "coreset_ratio": 0.1},
            "evidence": ["filters"],
            "run": {"device": "cpu"},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.pkl"
        Inspector.fit(photos[:8], config, warn=lambda line: None).save(file)
        scores = [
            [
                one.evidence["filters"].score
                for one in Inspector.load(file, where).inspect(photos[8:])
                if isinstance(one, Inspection)
            ]
            for where in ("cpu", str(device))
        ]
    return float(np.max(np.abs(np.divide(scores[1], scores[0]) - 1)))


def search_differs(device: torch.device, *, rows: int) -> float:
    """Measure the largest relative difference of the distance of a patch to the bank."""
    generator = torch.Generator().manual_seed(SEED)
    bank, queries = (torch.randn(n, 256, generator=generator) for n in (rows, 784))
    expected = MemoryBank(bank).search(queries)[0]
    found = MemoryBank(bank, device).search(queries.to(device))[0].cpu()
    return float((found / expected - 1).abs().max())


def coreset_differs(device: torch.device, *, patches: int) -> float:
    """Measure how much larger the cover radius of the device's picks is than of the CPU's, in parts of it."""
    rows = torch.randn(patches, 128, generator=torch.Generator().manual_seed(SEED)).half()
    keep = patches // 20
    radii = [cover_radius(rows, rows[greedy_coreset(rows, keep, device=where).indices]) for where in ("cpu", device)]
    return max(0.0, radii[1] / radii[0] - 1)


def coreset_seconds(device: torch.device, *, patches: int) -> float:
    """Time the selection of a tenth of random patches of 384 numbers."""
    rows = torch.randn(patches, 384, generator=torch.Generator().manual_seed(SEED)).half()
    start = time.perf_counter()
    greedy_coreset(rows, patches // 10, device=device)
    return round(time.perf_counter() - start, 3)


def precisions(device: torch.device, *, sides: tuple[int, ...], batches: tuple[int, ...]) -> list[dict[str, Any]]:
    """Time a network in each precision that the device has, and measure how far its features move from fp32's."""
    backbone = BACKBONES[BACKBONE]
    network = build_network(backbone, backbone.layers, None).eval().requires_grad_(False)
    modes: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
    if device.type == "cuda":
        modes = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    rows = []
    for side in sides:
        for batch in batches:
            images = torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(SEED), device="cpu")
            exact: list[torch.Tensor] = []
            for mode, dtype in modes.items():
                run = _forward(network, images, device, dtype, tf32=mode == "tf32")
                layers = [layer.float().cpu() for layer in run()]
                exact = exact or layers
                moved = max(float((a - b).norm() / b.norm()) for a, b in zip(layers, exact, strict=True))
                ms = 1000 * _seconds(run, device) / batch
                rows.append({"precision": mode, "side": side, "batch": batch, "ms_a_photo": ms, "features_move": moved})
    return rows


def _forward(
    network: nn.Module, images: torch.Tensor, device: torch.device, dtype: torch.dtype, *, tf32: bool
) -> Callable[[], list[torch.Tensor]]:
    # A copy, since rounded weights do not become exact again.
    moved = copy.deepcopy(network).to(device, dtype).to(memory_format=torch.channels_last)
    batch = images.to(device, dtype).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def forward() -> list[torch.Tensor]:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=tf32):
            layers: list[torch.Tensor] = moved(batch)
        return layers

    return forward


def _seconds(run: Callable[[], object], device: torch.device, rounds: int = 10) -> float:
    """Take the median of some rounds after a warm-up."""
    taken = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken[1:]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu for a dry run (default: cuda)")
    parser.add_argument("--tests", default="not run", help="how the tests that need a GPU ended: passed or failed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report to this file, too")
    return parser.parse_args()


if __name__ == "__main__":
    cli.run(main)
