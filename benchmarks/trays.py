"""How many missing, extra and swapped parts of kits are flagged, and how many whole trays: python benchmarks/trays.py

Renders kits of 6 to 12 parts, learns whole trays of each with configs/kit.yaml and judges others. On every tenth whole
tray, and on every fourth with a change, two parts touch.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from fastener.commands import cli
from fastener.common.intervals import wilson_interval
from fastener.config import load_config
from fastener.datasets.synthetic.trays import CHANGES, KitPart, draw_kit, render_tray
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Inspection

_KIT = Path(__file__).resolve().parents[1] / "configs" / "kit.yaml"
_PER_KIT = 10_000  # seeds


def main() -> int:
    """Render, learn, judge and count, kit by kit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=300, help="seed of the first kit")
    parser.add_argument("--kits", type=int, default=4)
    parser.add_argument("--learn", type=int, default=24, help="whole trays to learn from, each kit")
    parser.add_argument("--good", type=int, default=10, help="other whole trays, each kit")
    parser.add_argument("--each", type=int, default=5, help="trays with each change, each kit")
    arguments = parser.parse_args()
    flagged: dict[str, list[bool]] = {change: [] for change in CHANGES}
    for number in range(arguments.kits):
        kit = draw_kit(arguments.seed + number)
        first = (arguments.seed + number) * _PER_KIT
        config = load_config(_KIT, flags={"run.workers": 0})
        train = list(trays(kit, first, arguments.learn))
        inspector = Inspector.fit(train, config, groups=range(arguments.learn), warn=lambda line: None)
        print(f"kit {arguments.seed + number}: {', '.join(f'{part.count} {part.kind}' for part in kit)}")
        for at, change in enumerate(CHANGES, start=1):
            count = arguments.good if change == "none" else arguments.each
            results = inspector.inspect(list(trays(kit, first + 1000 * at, count, change)))
            found = [one for one in results if isinstance(one, Inspection)]
            flagged[change] += [one.is_anomalous for one in found]
            for i, one in enumerate(found):
                if one.is_anomalous == (change == "none"):
                    print(f"  wrong: {change} {i}: {one.evidence['count'].note or 'as expected'}", flush=True)
    for change, values in flagged.items():
        low, high = wilson_interval(sum(values), len(values))
        print(f"{change}: {sum(values)} of {len(values)} flagged ({low:.0%} to {high:.0%})", flush=True)
    return cli.EXIT_OK


def trays(kit: tuple[KitPart, ...], first: int, count: int, change: str = "none") -> Iterator[np.ndarray]:
    """Render trays of a kit from seed ``first`` on; on every tenth whole one, or fourth changed one, two touch."""
    every = 10 if change == "none" else 4
    return (render_tray(kit, first + i, change, touching=i % every == every - 1).image for i in range(count))


if __name__ == "__main__":
    sys.exit(main())
