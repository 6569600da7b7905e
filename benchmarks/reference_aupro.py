"""Compare our AUPRO with anomalib's on the same maps and masks.

    python -m venv peers && peers/bin/pip install anomalib
    python benchmarks/reference_aupro.py --peer-python peers/bin/python

anomalib runs in an environment of its own and reads the arrays from a file. The maps are smooth noise with higher
values inside some of the defects; in one case they are rounded to 32 levels, so that most pixels are tied. The exit
code is 0 if all values agree to 1e-5. Both integrate the same curve: anomalib at every distinct score, this project at
2**18 levels at most.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastener.commands import cli
from fastener.common.errors import UserError
from fastener.evaluation.pixel_metrics import aupro

TOLERANCE = 1e-5
FPR_LIMIT = 0.3
PEER = """
import json, sys, time
import numpy as np, torch
from anomalib.metrics.aupro import _AUPRO
data = np.load(sys.argv[1])
maps, masks = torch.from_numpy(data["maps"]), torch.from_numpy(data["masks"].astype(np.int64))
metric = _AUPRO(fpr_limit=float(sys.argv[2]))
start = time.perf_counter()
metric.update(maps, masks)
value = float(metric.compute())
print(json.dumps([value, time.perf_counter() - start]))
"""


def main() -> int:
    """Compare and print; one row a case."""
    arguments = _arguments()
    cases = {
        "20 images, 128 px": draw(0, 20, 128),
        "20 images, 128 px, 32 levels": draw(1, 20, 128, levels=32),
        "20 images, 128 px, a good half": draw(2, 20, 128, good=10),
        "40 images, 256 px": draw(3, 40, 256),
    }
    print("| case | ours | anomalib | difference | ours in s | anomalib in s |")
    print("|---|---|---|---|---|---|")
    agree = True
    for name, (maps, masks) in cases.items():
        start = time.perf_counter()
        ours = aupro(masks, maps, max_fpr=FPR_LIMIT)
        assert ours is not None
        seconds = time.perf_counter() - start
        theirs, their_seconds = peer(arguments.peer_python, maps, masks)
        agree &= abs(ours - theirs) <= TOLERANCE
        print(f"| {name} | {ours:.5f} | {theirs:.5f} | {ours - theirs:+.1e} | {seconds:.2f} | {their_seconds:.2f} |")
    print("AGREE" if agree else "DIFFER", f"(tolerance {TOLERANCE:g})")
    return cli.EXIT_OK if agree else cli.EXIT_SOME_FAILED


def draw(seed: int, n: int, side: int, good: int = 4, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Draw maps, float32 (n, side, side), and bool masks; images after the first ``good`` have one to three defects."""
    generator = np.random.default_rng(seed)
    maps, masks = np.zeros((n, side, side), np.float32), np.zeros((n, side, side), bool)
    for index in range(n):
        maps[index] = cv2.GaussianBlur(generator.normal(size=(side, side)).astype(np.float32), (0, 0), 4) * 6
        for _ in range(generator.integers(1, 4) if index >= good else 0):
            centre, radius = generator.integers(8, side - 8, 2), int(generator.integers(2, side // 8))
            defect = np.zeros((side, side), np.uint8)
            cv2.circle(defect, (int(centre[0]), int(centre[1])), radius, 1, -1)
            masks[index] |= defect > 0
            maps[index][defect > 0] += generator.uniform(0, 3)
    if levels is not None:
        maps = np.round(maps * levels / np.ptp(maps)).astype(np.float32)
    return maps, masks


def peer(python: Path, maps: np.ndarray, masks: np.ndarray) -> tuple[float, float]:
    """Compute AUPRO by anomalib, and return it with the seconds taken. Raises UserError if anomalib cannot be run."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "case.npz"
        np.savez(file, maps=maps, masks=masks)
        command = [str(python), "-c", PEER, str(file), str(FPR_LIMIT)]
        try:
            run = subprocess.run(command, capture_output=True, text=True, check=True)
        except OSError as error:
            raise UserError(f"--peer-python {python}: {error.strerror}") from None
        except subprocess.CalledProcessError as error:
            reason = error.stderr.strip().splitlines()[-1:] or ["it failed"]
            raise UserError(f"--peer-python {python}: anomalib cannot be run: {reason[0]}") from None
    value, seconds = json.loads(run.stdout.strip().splitlines()[-1])
    return value, seconds


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", type=Path, required=True, metavar="PY", help="a Python that has anomalib")
    return parser.parse_args()


if __name__ == "__main__":
    cli.run(main)
