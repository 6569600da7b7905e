"""What share of deformed parts is flagged, over the amount of the deformation: python benchmarks/shape.py --seed 50

Learns 100 rendered good parts of mixed kinds, judges 200 other good ones and parts that are deformed by known amounts,
prints a table and draws docs/shape.png. The camera looks from right above (--view overhead) or at a slant, as in the
demo (--view oblique).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from fastener.commands import cli
from fastener.common.intervals import wilson_interval
from fastener.config import load_config
from fastener.datasets.synthetic.material import FINISHES
from fastener.datasets.synthetic.parts import KINDS, render_part
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Inspection

# Deformation -> part and amounts. A washer's fold is seen from above by what it hides, so that it must be steeper.
CURVES: dict[tuple[str, str], tuple[float, ...]] = {
    ("bend", "bolt"): (1, 2, 3, 5, 8, 12),
    ("oval", "washer"): (1, 2, 3, 5, 8, 12),
    ("stripped thread", "bolt"): (10, 15, 20, 30, 45),
    ("chipped corner", "nut"): (4, 6, 8, 10, 13, 16),
    ("flattened thread", "bolt"): (40, 60, 80),
    ("missing thread", "bolt"): (20, 35, 50),
    ("bend", "washer"): (20, 35, 50),
    ("wrong length", "bolt"): (-40, -25, 25, 50),
    ("mushroomed head", "bolt"): (15, 30),
}
UNITS = {"bend": "degrees"}
_DRAWN = 4  # of the curves, the first ones


def main() -> int:
    """Render, learn, judge, print the table, draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=50)
    parser.add_argument("--view", choices=("overhead", "oblique"), default="overhead")
    parser.add_argument("--each", type=int, default=12, help="parts for each amount")
    parser.add_argument("--good", type=int, default=200, help="good parts to judge")
    parser.add_argument("--drawn-only", action="store_true", help="only the four deformations that are drawn")
    parser.add_argument("--plot", type=Path, help="file of the curves, such as docs/shape.png")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    seeds = iter(range(arguments.seed * 1_000_000, (arguments.seed + 1) * 1_000_000))

    def photo(kind: str, turn: int, **damage: Any) -> np.ndarray:
        tilt = None
        if arguments.view == "overhead":
            tilt = float(rng.uniform(1, 8) if kind == "bolt" else rng.uniform(83, 89))
        finish = tuple(FINISHES)[turn % 3]
        return render_part(next(seeds), kind, finish, background="white", tilt_deg=tilt, **damage).image

    train = [photo(KINDS[i % 3], i // 3) for i in range(100)]
    inspector = Inspector.fit(train, load_config(assignments=arguments.set), warn=print)
    good = (photo(KINDS[i % 3], i // 3) for i in range(arguments.good))
    print(f"good: {share(inspector, good)}", flush=True)
    curves: dict[tuple[str, str], list[tuple[float, Share]]] = {}
    for (kind, part), amounts in list(CURVES.items())[: _DRAWN if arguments.drawn_only else None]:
        for amount in amounts:
            photos = (photo(part, i, defect=kind, amount=amount) for i in range(arguments.each))
            found = share(inspector, photos)
            curves.setdefault((kind, part), []).append((amount, found))
            print(f"{kind} of a {part}, {amount:g} {UNITS.get(kind, '%')}: {found}", flush=True)
    if arguments.plot:
        draw(curves, arguments.plot, f"100 good parts learned, alpha 0.05, {arguments.view} view")
    return cli.EXIT_OK


class Share:
    """Hold how many of some photos were flagged, and by shape alone; prints itself with a 95 % interval."""

    def __init__(self, flagged: list[bool], said: list[bool]):
        self.flagged, self.said, self.n = sum(flagged), sum(said), len(flagged)

    def __str__(self) -> str:
        low, high = wilson_interval(self.flagged, self.n)
        return f"{self.flagged} of {self.n} flagged ({low:.0%} to {high:.0%}), shape says something of {self.said}"


def share(inspector: Inspector, photos: Any) -> Share:
    """Judge photos and count."""
    results = [one for one in inspector.stream(photos) if isinstance(one, Inspection)]
    notes = [one.evidence["shape"].note if "shape" in one.evidence else "" for one in results]
    return Share([one.is_anomalous for one in results], [bool(note) and "not judged" not in note for note in notes])


def draw(curves: dict[tuple[str, str], list[tuple[float, Share]]], path: Path, title: str) -> None:
    """Plot the share flagged over the amount, one line a deformation with its 95 % interval."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, _DRAWN, figsize=(12, 3.2), sharey=True)
    for axis, ((kind, part), points) in zip(axes, curves.items(), strict=False):
        amounts = [amount for amount, _ in points]
        intervals = np.array([wilson_interval(one.flagged, one.n) for _, one in points])
        axis.fill_between(amounts, *intervals.T, alpha=0.2)
        axis.plot(amounts, [one.flagged / one.n for _, one in points], marker="o")
        axis.axhline(0.9, color="0.7", linewidth=0.8)
        axis.set(title=f"{kind} of a {part}", xlabel=f"amount in {UNITS.get(kind, '%')}", ylim=(-0.03, 1.03))
    axes[0].set_ylabel("share flagged")
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
