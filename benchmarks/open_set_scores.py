"""Compare scores and network stages by how well they reject a class that was left out of training.

Images of the classes that open_set_recognition.py reports as unknown are not used, see open_set/left_out.py.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastener.commands import cli
from fastener.open_set.classifier import FROZEN
from fastener.open_set.pipeline import Pipeline
from fastener.open_set.settings import SCORE_NAMES, load_open_set

LAYERS = (("layer2",), ("layer3",), ("layer2", "layer3"), ("layer2", "layer3", "layer4"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neu-root", type=Path, required=True, metavar="D")
    parser.add_argument("--weights", type=Path, metavar="F")
    arguments = parser.parse_args()
    flags = {"data.neu_root": arguments.neu_root, "weights": arguments.weights, "classifier.mode": FROZEN}
    settings, splits = load_open_set(flags=flags)
    print("share of left-out classes rejected, AUROC\n" + f"{'stages':24}" + "".join(f"{n:>22}" for n in SCORE_NAMES))
    for layers in LAYERS:
        chosen = settings.classifier.model_copy(update={"layers": layers})
        with tempfile.TemporaryDirectory() as folder:
            there = settings.model_copy(update={"classifier": chosen, "output": Path(folder)})
            pipeline = Pipeline(there, splits, cli.progress)
            rows = [row for name in splits for row in pipeline.left_out(name)]
        cells = []
        for name in SCORE_NAMES:
            of_score = [row for row in rows if row["score"] == name]
            rejected = np.mean([row["rejected"] / row["n"] for row in of_score])
            cells.append(f"{rejected:.3f}, {np.mean([row['auroc'] for row in of_score]):.3f}")
        print(f"{'+'.join(layers):24}" + "".join(f"{cell:>22}" for cell in cells))
    return cli.EXIT_OK


if __name__ == "__main__":
    cli.run(main)
