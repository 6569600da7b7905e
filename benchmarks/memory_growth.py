"""Measure how the memory of train.py and inference.py grows with the number of photos; plot for docs/reliability.md.

The scripts run as a user runs them, on random JPEGs of 256 x 256. Their memory is read from /proc (Linux) five times a
second. Mapped pages of the feature file are counted separately, because the system reclaims them when it needs memory.
The model's input has 64 px and its bank a thousandth of the patches, so that a run takes minutes, not hours.

    python benchmarks/memory_growth.py --plot docs/memory.png
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastener.common.errors import UserError
from fastener.evaluation.visualize import GREY, PALETTE, save_figure

ROOT = Path(__file__).resolve().parents[1]
LIMIT_MB = 64
SIDE = 64
SETTINGS = ("preprocess.enabled=false", "calibration.max_photos=20")
SIGNATURE_MB = (4096 + 9216) * 4 / 2**20
# Memory of training with very few photos: Python, torch, one batch, and the search of one block of patches.
FLOOR_MB = 500


@dataclass(frozen=True)
class Memory:
    """Samples of one run: seconds since its start, private MB, and MB of mapped files."""

    label: str
    seconds: np.ndarray
    private: np.ndarray
    mapped: np.ndarray


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        home = Path(folder)
        training = []
        for count in sorted(arguments.train):
            write_photos(home / "photos", count)
            training.append(train(home, count))
        write_photos(home / "inspected", arguments.inspect)
        inspecting = inspect(home, arguments.inspect)
    print("| run | photos | private MB at most | promised | mapped MB at most | minutes |\n|---|---|---|---|---|---|")
    for count, memory in zip(sorted(arguments.train), training, strict=True):
        _row("train.py", count, memory, f"{promised(count):.0f}")
    _row("inference.py", arguments.inspect, inspecting, "flat")
    print(f"inference: {rise(inspecting):+.0f} MB from the middle fifth of the run to the last")
    if arguments.plot:
        save_figure(figure(training, promised(max(arguments.train)), inspecting), arguments.plot)


def promised(photos: int, limit: int = LIMIT_MB) -> float:
    """Compute the MB that training may use: the floor, the features up to the limit, and 133 KB per photo.

    The 133 KB are the photo's signature, and three copies of it in half precision while the model file is written.
    """
    return FLOOR_MB + limit + 2.5 * photos * SIGNATURE_MB


def rise(memory: Memory) -> float:
    """Compute the peak MB of private memory in the last fifth of a run minus the peak in the middle fifth."""
    fifths = np.array_split(memory.private, 5)
    return float(fifths[-1].max() - fifths[2].max())


def train(home: Path, count: int, limit: int = LIMIT_MB, side: int = SIDE) -> Memory:
    """Train on the ``count`` photos of ``home / "photos"`` and sample the memory."""
    settings = [word for setting in (f"preprocess.size={side}", *SETTINGS) for word in ("--set", setting)]
    return watch(
        f"{count:,} photos",
        "train.py",
        *("--images", home / "photos", "--evidence", "filters", "--coreset-ratio", 0.001, *settings),
        *("--memory-limit", limit, "--device", "cpu", "--output", home / "model.pkl"),
    )


def inspect(home: Path, count: int) -> Memory:
    """Inspect the ``count`` photos of ``home / "inspected"`` with the model that ``train`` wrote."""
    return watch(
        f"{count:,} photos",
        "inference.py",
        *("--model", home / "model.pkl", "--dir", home / "inspected"),
        *("--json", "--csv", "--device", "cpu", "--output", home / "results"),
    )


def watch(label: str, script: str, *words: object) -> Memory:
    """Run a script to its end and sample its memory. Raises UserError if it fails."""
    command = [sys.executable, str(ROOT / script), *map(str, words)]
    samples = []
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if (memory := _memory(process.pid)) is not None:
                samples.append((time.monotonic() - started, *memory))
            time.sleep(0.2)
    if process.returncode:
        raise UserError(f"{script} ended with code {process.returncode}")
    return Memory(label, *np.array(samples).T)


def write_photos(folder: Path, count: int) -> None:
    """Write JPEGs of 256 x 256, each a different disc on a cloudy background. Existing files stay."""
    folder.mkdir(exist_ok=True)
    for seed in range(count):
        path = folder / f"{seed:05d}.jpg"
        if path.exists():
            continue
        draw = np.random.default_rng(seed)
        image = cv2.resize(draw.integers(90, 170, (32, 32, 3), np.uint8), (256, 256), interpolation=cv2.INTER_CUBIC)
        x, y, radius = (int(value) for value in draw.integers((90, 90, 40), (166, 166, 80)))
        colour = [int(value) for value in draw.integers(60, 200, 3)]
        path.write_bytes(cv2.imencode(".jpg", cv2.circle(image, (x, y), radius, colour, -1))[1].tobytes())


def figure(training: Sequence[Memory], limit: float, inspecting: Memory) -> Figure:
    """Draw two panels over time: training with the promised limit of the largest run, and inspecting."""
    drawn = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = drawn.subplots(1, 2, sharey=True)
    for colour, memory in zip(PALETTE, training, strict=False):
        _line(left, memory, colour)
    left.axhline(limit, color=GREY, linestyle="--", linewidth=1)
    left.annotate(f"promised for {training[-1].label}", (0, limit), (4, 4), textcoords="offset points", color=GREY)
    left.plot(*(training[-1].seconds / 60, training[-1].mapped), ":", color=GREY, label="mapped files of the largest")
    left.set_title(f"train.py --memory-limit {LIMIT_MB}")
    left.set_ylabel("MB")
    _line(right, inspecting, PALETTE[0])
    right.set_title("inference.py")
    left.set_ylim(0, 1.15 * limit)
    for axes in (left, right):
        axes.set_xlabel("minutes")
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3, linewidth=0.5)
        axes.legend(frameon=False, fontsize=8, loc="lower right")
    return drawn


def _line(axes: Axes, memory: Memory, colour: str) -> None:
    axes.plot(memory.seconds / 60, memory.private, color=colour, linewidth=1.5, label=f"{memory.label}, private")


def _memory(pid: int) -> tuple[float, float] | None:
    """Read the MB of private and of mapped memory; None if the process has just ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except ProcessLookupError:
        return None
    found = {line.partition(":")[0]: line.split() for line in text.splitlines()}
    if "RssAnon" not in found:
        return None
    return int(found["RssAnon"][1]) / 1024, (int(found["RssFile"][1]) + int(found["RssShmem"][1])) / 1024


def _row(script: str, count: int, memory: Memory, limit: str) -> None:
    largest = f"{memory.private.max():.0f} | {limit} | {memory.mapped.max():.0f}"
    print(f"| {script} | {count:,} | {largest} | {memory.seconds[-1] / 60:.1f} |")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=int, nargs="+", default=[5000, 20000], metavar="N", help="5000 20000")
    parser.add_argument("--inspect", type=int, default=5000, metavar="N", help="default: 5000")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="plot, .png or .pdf")
    return parser.parse_args()


if __name__ == "__main__":
    main()
