"""Measure the error of measured rust on rendered series: python benchmarks/corrosion_accuracy.py

The script prints a Markdown table with a line for each kind of part, finish and light: mean absolute error of the
rust-coloured share in percentage points, over all backgrounds and 0 to 60 % rust, and mean IoU of the part's mask.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from itertools import product
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastener.commands import cli
from fastener.config import Config, load_config
from fastener.corrosion.analysis import Analyser
from fastener.datasets.components import load_components
from fastener.datasets.synthetic.demo_dataset import write_png
from fastener.datasets.synthetic.parts import KINDS, render_part, render_time_series
from fastener.datasets.synthetic.render import RenderedPart
from fastener.inspection.inspector import Inspector
from fastener.preprocessing.segmentation import find_part

FINISHES = ("silver", "grey", "black")
LIGHTS = {"white": (1.0, 1.0, 1.0), "warm": (1.0, 0.88, 0.7), "cool": (0.8, 0.93, 1.0)}
SHARES = (0.0, 0.05, 0.2, 0.4, 0.6)
GROUNDS = ("white", "light", "bench")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7, help="which parts are drawn (default: 7)")
    parser.add_argument(
        "--grounds", type=cli.names, default=GROUNDS, metavar="G", help=f"also cloth (default: {','.join(GROUNDS)})"
    )
    arguments = parser.parse_args()
    analyse = Analyser(_small_model(), Config().corrosion, Config().colour)
    print("| part | finish | light | mean absolute error (points) | mask IoU |")
    print("|---|---|---|---|---|")
    everything: list[float] = []
    for kind, finish, light in product(KINDS, FINISHES, LIGHTS):
        errors: list[float] = []
        overlaps: list[float] = []
        for ground in arguments.grounds:
            parts = render_time_series(arguments.seed, kind, finish, SHARES, light_rgb=LIGHTS[light], background=ground)
            errors += rust_errors(analyse, parts)
            overlaps += [overlap(find_part(part.image).mask, part.part_mask) for part in parts]
        everything += errors
        print(f"| {kind} | {finish} | {light} | {np.mean(errors):.1f} | {np.mean(overlaps):.3f} |", flush=True)
    print(f"\nMean absolute error over all {len(everything)} shots: {np.mean(everything):.2f} points.")
    return cli.EXIT_OK


def rust_errors(analyse: Analyser, parts: list[RenderedPart]) -> list[float]:
    """Compute the absolute error in percentage points of each shot of one series."""
    with tempfile.TemporaryDirectory() as folder:
        for hours, part in enumerate(parts):
            write_png(Path(folder) / f"Part-T{hours}.png", part.image)
        result = analyse(load_components(Path(folder))[0][0])
    return [abs(p.rust - 100.0 * part.rust_share) for p, part in zip(result.points, parts, strict=True)]


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Compute the intersection over union of two bool masks."""
    return float((one & other).sum() / (one | other).sum())


def _small_model() -> Inspector:
    """Train a minimal model; colour is measured without it."""
    flags = {"preprocess.size": 64, "evidence": ("filters", "colour"), "model.backbone": "filters", "run.workers": 0}
    return Inspector.fit([render_part(seed, background="white").image for seed in range(6)], load_config(flags=flags))


if __name__ == "__main__":
    cli.run(main)
