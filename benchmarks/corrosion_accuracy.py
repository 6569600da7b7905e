"""Measure the errors of measured corrosion on rendered series: python benchmarks/corrosion_accuracy.py

The script prints a Markdown table with a line for each kind of part and finish. ``--what rust``, the default: mean
absolute error of the rust-coloured share in percentage points for each light, over all backgrounds and 0 to 60 % rust,
and mean IoU of the part's mask. ``--what white``: the error of white deposit of 5, 20 and 35 %, in other light and
focus. ``--what healthy``: how many sound series of four time points are called degrading.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastener.commands import cli
from fastener.config import Config
from fastener.corrosion.analysis import Analyser, ComponentResult
from fastener.corrosion.severity import DEGRADING
from fastener.datasets.components import load_components
from fastener.datasets.synthetic.corrosion import Conditions, Corrosion, render_corrosion
from fastener.datasets.synthetic.demo_dataset import write_png
from fastener.datasets.synthetic.parts import KINDS, render_time_series
from fastener.preprocessing.segmentation import find_part

FINISHES = ("silver", "grey", "black")
LIGHTS = {"white": (1.0, 1.0, 1.0), "warm": (1.0, 0.88, 0.7), "cool": (0.8, 0.93, 1.0)}
SHARES = (0.0, 0.05, 0.2, 0.4, 0.6)
GROUNDS = ("white", "light", "bench")
WHITES = (0.05, 0.2, 0.35)
SHOTS = (Conditions(), Conditions(gain=0.85), Conditions(gain=1.1, blur=0.9), Conditions(gain=0.95))
DISTURBED = (
    Conditions(),
    Conditions(pose=1.5, lamp=2.0, gain=0.75, blur=1.6, light_rgb=(1.05, 1.0, 0.93)),
    Conditions(pose=1.5, lamp=2.0, gain=1.2),
    Conditions(pose=1.5, lamp=1.5, gain=0.9, blur=0.8, light_rgb=(0.95, 1.0, 1.03)),
)
SIZE = (480, 480)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", choices=("rust", "white", "healthy"), default="rust", help="default: rust")
    parser.add_argument("--seed", type=int, default=7, help="which parts are drawn (default: 7)")
    parser.add_argument(
        "--repeats", type=int, default=1, help="parts of each kind and finish (default: 1); not for rust"
    )
    parser.add_argument(
        "--grounds", type=cli.names, default=GROUNDS, metavar="G", help=f"also cloth (default: {','.join(GROUNDS)})"
    )
    arguments = parser.parse_args()
    analyse = Analyser(None, Config().corrosion, Config().colour)
    if arguments.what == "rust":
        _rust(analyse, arguments.seed, arguments.grounds)
    else:
        measure = _white if arguments.what == "white" else _healthy
        measure(analyse, range(arguments.seed, arguments.seed + arguments.repeats))
    return cli.EXIT_OK


def _rust(analyse: Analyser, seed: int, grounds: Sequence[str]) -> None:
    print("| part | finish | light | mean absolute error (points) | mask IoU |")
    print("|---|---|---|---|---|")
    everything: list[float] = []
    for kind, finish, light in product(KINDS, FINISHES, LIGHTS):
        errors: list[float] = []
        overlaps: list[float] = []
        for ground in grounds:
            parts = render_time_series(seed, kind, finish, SHARES, light_rgb=LIGHTS[light], background=ground)
            points = analysed(analyse, [part.image for part in parts]).points
            errors += [abs(p.rust - 100.0 * part.rust_share) for p, part in zip(points, parts, strict=True)]
            overlaps += [overlap(find_part(part.image).mask, part.part_mask) for part in parts]
        everything += errors
        print(f"| {kind} | {finish} | {light} | {np.mean(errors):.1f} | {np.mean(overlaps):.3f} |", flush=True)
    print(f"\nMean absolute error over all {len(everything)} shots: {np.mean(everything):.2f} points.")


def _white(analyse: Analyser, seeds: Iterable[int]) -> None:
    print("| part | finish | mean absolute error (points) | measured, of 5, 20 and 35 % |")
    print("|---|---|---|---|")
    for kind, finish in product(KINDS, FINISHES):
        found = np.array([_white_of(analyse, seed, kind, finish) for seed in seeds])
        error = np.abs(found - 100.0 * np.array(WHITES)).mean()
        print(
            f"| {kind} | {finish} | {error:.1f} | {', '.join(f'{one:.1f}' for one in found.mean(axis=0))} |", flush=True
        )


def _white_of(analyse: Analyser, seed: int, kind: str, finish: str) -> list[float]:
    """Measure the white deposit of one series, in percent; 0 where a shot was not judged."""
    states = [Corrosion(), *(Corrosion(white=share) for share in WHITES)]
    parts = render_corrosion(seed, kind, finish, states, SHOTS, size=SIZE)
    return [point.white or 0.0 for point in analysed(analyse, [part.image for part in parts]).points[1:]]


def _healthy(analyse: Analyser, seeds: Iterable[int]) -> None:
    called, total = [], 0
    for seed, kind, finish in product(seeds, KINDS, FINISHES):
        parts = render_corrosion(seed, kind, finish, [Corrosion()] * len(DISTURBED), DISTURBED, size=SIZE)
        total += 1
        if analysed(analyse, [part.image for part in parts]).status == DEGRADING:
            called.append(f"{kind} {finish}, seed {seed}")
    print(f"{len(called)} of {total} sound series are called degrading{': ' if called else ''}{'; '.join(called)}.")


def analysed(analyse: Analyser, photos: Sequence[np.ndarray]) -> ComponentResult:
    """Analyse photos as the shots of one component, an hour apart."""
    with tempfile.TemporaryDirectory() as folder:
        for hours, photo in enumerate(photos):
            write_png(Path(folder) / f"Part-T{hours}.png", photo)
        return analyse(load_components(Path(folder))[0][0])


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Compute the intersection over union of two bool masks."""
    return float((one & other).sum() / (one | other).sum())


if __name__ == "__main__":
    cli.run(main)
