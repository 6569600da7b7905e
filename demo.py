"""Show the main job on rendered parts: train, inspect, measure. Needs no photos and no downloaded weights."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fastener.commands import cli

if TYPE_CHECKING:
    from fastener.datasets.labelled_image import LabelledImage
    from fastener.inspection.drawing import Picture

DATA, MODEL, OUTPUT = Path("data/demo"), Path("saved_models/demo.pkl"), Path("outputs/demo")
# Parts lie on a white sheet, as the README advises for real photos. No setting was tried on this seed.
SEED, PARTS = 7, 100
COMMANDS = (
    f"train.py --data-dir {DATA} --output {MODEL}",
    f"inference.py --dir {DATA}/test --model {MODEL} --output {OUTPUT} --visualize --json --csv",
    f"evaluate.py --data-dir {DATA} --split test --model {MODEL} --output {OUTPUT}/evaluation",
)


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    from fastener.datasets.csv_splits import load_splits
    from fastener.datasets.synthetic.demo_dataset import write_demo_dataset
    from fastener.inspection.drawing import save_picture

    print(f"rendering nuts, bolts and washers into {DATA}", flush=True)
    write_demo_dataset(DATA, seed=SEED, n_train=PARTS, background="white")
    for command in COMMANDS:
        print(f"\n$ python {command}", flush=True)
        code = subprocess.run([sys.executable, *shlex.split(command)]).returncode
        if code != cli.EXIT_OK:
            return code
    entries = json.loads((OUTPUT / "results.json").read_text(encoding="utf-8"))
    flagged = {entry["path"]: entry["is_anomalous"] for entry in entries}
    (test,) = load_splits(DATA, ["test"])
    save_picture(example_sheet(test.images), OUTPUT / "demo.png")
    print(f"\n{summary(test.images, flagged)}")
    print(f"\nlook at {OUTPUT}/demo.png for some of them, and at the pictures det_*.png beside it for each")
    print(f"tables: {OUTPUT}/results.csv, results.json; figures and plots: {OUTPUT}/evaluation")
    return cli.EXIT_OK


def summary(images: Sequence[LabelledImage], flagged: dict[str, bool]) -> str:
    """Count the flagged images of each class, one line a class; ``flagged`` maps paths to verdicts."""
    verdicts: dict[str, list[bool]] = {}
    for image in images:
        verdicts.setdefault(", ".join(image.labels), []).append(flagged[str(image.path)])
    return "\n".join(f"{name}: {sum(found)} of {len(found)} flagged" for name, found in verdicts.items())


def example_sheet(images: Sequence[LabelledImage]) -> Picture:
    """Show the first two parts of each class with their anomaly maps and verdicts, one row a class."""
    import numpy as np

    from fastener.datasets.images import read_image
    from fastener.inspection.drawing import contact_sheet
    from fastener.inspection.inspector import Inspector
    from fastener.inspection.pictures import overlay_picture
    from fastener.inspection.result import Inspection

    inspector = Inspector.load(MODEL)
    classes: dict[tuple[str, ...], list[Path]] = {}
    for image in images:
        classes.setdefault(image.labels, []).append(image.path)
    rows = []
    for labels, paths in classes.items():
        panels = []
        for path, result in zip(paths[:2], inspector.inspect(paths[:2]), strict=True):
            assert isinstance(result, Inspection)
            photo = read_image(path)
            caption = f"{', '.join(labels)}: {result.verdict}, score {result.score:.2f} / {result.threshold:.2f}"
            panels.append(contact_sheet([[photo, overlay_picture(photo, result)]], [caption], cell=220))
        rows.append(np.hstack(panels))
    return np.vstack(rows)


if __name__ == "__main__":
    cli.run(main)
