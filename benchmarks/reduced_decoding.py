"""Measure decoding large JPEGs at reduced size: python benchmarks/reduced_decoding.py --model M

Each photo is inspected three times: at full size, reduced as inference.py reads it (``datasets.images.read_reduced``),
and, for comparison, at full size after another JPEG compression, which is invisible. The table shows the change of the
image score as a fraction of the threshold. Without --images, rendered parts of 12 megapixels are inspected.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastener.commands import cli
from fastener.common.errors import UserError
from fastener.datasets.images import list_images, read_image, read_reduced
from fastener.datasets.synthetic.parts import KINDS, render_part
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Inspection

RENDERED = 12
QUALITY = 92


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=cli.DEFAULT_MODEL, metavar="M")
    parser.add_argument("--images", type=Path, metavar="D", help="a folder of large JPEGs")
    parser.add_argument("--weights", type=Path, metavar="F")
    arguments = parser.parse_args()
    inspector = Inspector.load(arguments.model, weights=arguments.weights)
    side = inspector.preprocessor.useful_side
    whole_s, reduced_s, reduced, coded_again = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        paths = list_images(arguments.images) if arguments.images else rendered(Path(folder))
        for path in cli.progress(paths, len(paths), "inspecting"):
            start = time.perf_counter()
            photo = read_image(path)
            middle = time.perf_counter()
            small, size = read_reduced(path, side)
            end = time.perf_counter()
            if small.shape[:2] == size:
                continue
            whole_s.append(middle - start)
            reduced_s.append(end - middle)
            score = score_of(inspector, photo)
            reduced.append((score_of(inspector, path) - score) / inspector.threshold)
            coded_again.append((score_of(inspector, jpeg(photo)) - score) / inspector.threshold)
    if not reduced:
        raise UserError(f"none of the photos is a JPEG with a side of {2 * side} px or more: nothing is reduced")
    print(f"{len(reduced)} JPEGs; decoding takes {np.median(np.divide(reduced_s, whole_s)):.2f} of the time")
    print("| change of the score, in parts of the threshold | median | 90 % | largest |")
    print("|---|---|---|---|")
    for name, changes in (("decoded at a part of the size", reduced), ("coded as a JPEG once more", coded_again)):
        median, most, largest = np.quantile(np.abs(changes), [0.5, 0.9, 1.0])
        print(f"| {name} | {median:.3f} | {most:.3f} | {largest:.3f} |")
    return cli.EXIT_OK


def rendered(folder: Path) -> list[Path]:
    """Render parts as large JPEGs."""
    paths = [folder / f"{seed}.jpg" for seed in range(RENDERED)]
    for seed, path in enumerate(paths):
        photo = render_part(seed, KINDS[seed % len(KINDS)], size=(3000, 4000)).image
        Image.fromarray(photo).save(path, quality=QUALITY)
    return paths


def score_of(inspector: Inspector, source: Path | np.ndarray) -> float:
    """Compute the image score of a photo."""
    (result,) = inspector.inspect([source])
    assert isinstance(result, Inspection)
    return result.score


def jpeg(photo: np.ndarray) -> np.ndarray:
    """Encode a photo as JPEG and decode it again."""
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, format="JPEG", quality=QUALITY)
    return np.asarray(Image.open(buffer).convert("RGB"))


if __name__ == "__main__":
    cli.run(main)
