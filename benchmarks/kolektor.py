"""Detect cracks on KolektorSDD by PatchCore: python benchmarks/kolektor.py --data kolektor_sdd [--choose]

The folder ``--data`` has images/ and labels/ (YOLO polygons; the label file of a good photo is empty). Each model
trains on 80 good photos, drawn by ``--seed``; the table covers all other photos. "Good flagged" counts good photos with
a box. "Cracks found" counts cracks that a box overlaps by IoU 0.1, or whose centre lies in a box, at the threshold from
the 80 training photos. "At 5 %" counts the same at the lowest threshold that flags at most 5 % of the good test photos.

``--choose`` compares settings without looking at a real crack: each model trains on two thirds of the 80 photos and
inspects the others, as they are and with two synthetic cracks each (thin, jagged lines that fade and are hardly darker
than the grain). docs/ct_slices.md explains the choice.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastener.commands import cli
from fastener.common.errors import UserError
from fastener.config import load_config
from fastener.datasets.images import list_images, read_image
from fastener.evaluation.detection import Boxes, as_boxes, finds
from fastener.evaluation.metrics import auroc, bootstrap_ci, proportion_ci
from fastener.inspection.inspector import Inspector
from fastener.inspection.regions import find_regions
from fastener.inspection.result import Inspection

LEARNED = 80
_FINER = 4  # cracks are drawn at this multiple of the photo's size
COMMON = {
    "preprocess.size": [880, 352],
    "preprocess.center_crop": 1.0,
    "calibration.alpha": 0.05,
    "model.backbone": "resnet18",
    "model.target_dim": None,
    "model.num_neighbors": 1,
    "run.batch_size": 4,
}
PUBLISHED = {"evidence": ["cnn"], "model.target_dim": 256, "model.coreset_ratio": 0.01}
FINE = {"evidence": ["cnn"], "model.layers": ["layer1", "layer2"], "model.coreset_ratio": 0.003}
WHITENED = {**FINE, "model.unit_length": True, "model.whiten": True}
BOTH = {**WHITENED, "evidence": ["cnn", "filters"]}
LINES = {"model.line_length": 120}
PLACES = {"model.per_position": True}
CANDIDATES = {
    "cnn + filters, lines, by place": {**BOTH, **LINES, **PLACES},
    "cnn + filters, lines": {**BOTH, **LINES},
    "cnn + filters, by place": {**BOTH, **PLACES},
    "cnn + filters": BOTH,
    "cnn, lines, by place": {**WHITENED, **LINES, **PLACES},
    "cnn": WHITENED,
    "cnn, as published": PUBLISHED,
    "cnn, as published, lines, by place": {**PUBLISHED, **LINES, **PLACES},
    "filters, lines, by place": {**WHITENED, "evidence": ["filters"], **LINES, **PLACES},
}
CHOSEN = "cnn + filters, lines, by place"
# Regions at most this far apart, in pixels of the frame, are joined, because a faint crack shows in pieces.
JOINED_WITHIN = 12.0


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="D", help="folder with images/ and labels/")
    parser.add_argument("--choose", action="store_true", help="compare settings on synthetic cracks instead")
    parser.add_argument("--only", choices=list(CANDIDATES), help="compute one line of the table only")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    good, cracked = photos(arguments.data)
    order = np.random.default_rng(arguments.seed).permutation(len(good))
    learned, rest = [good[i] for i in order[:LEARNED]], sorted(good[i] for i in order[LEARNED:])
    print("| evidence | photos (cracked) | image AUROC (95 %) | good flagged | cracks found | at 5 % | seconds |")
    print("|---|---|---|---|---|---|---|")
    for name in [arguments.only] if arguments.only else CANDIDATES:
        config = load_config("configs/mvtec.yaml", flags={**COMMON, **CANDIDATES[name]})
        start = time.perf_counter()
        if arguments.choose:
            count = 2 * len(learned) // 3
            inspector = Inspector.fit(learned[:count], config)
            sound = [read_image(path) for path in learned[count:]]
            made = [crack(photo, seed) for seed, photo in enumerate(sound + sound)]
            results = inspector.inspect(sound), inspector.inspect([image for image, _ in made])
            truth = [box for _, box in made]
        else:
            inspector = Inspector.fit(learned, config)
            results = inspector.inspect(rest), inspector.inspect(list(cracked))
            truth = list(cracked.values())
        label = name + (" (chosen)" if name == CHOSEN else "")
        print(f"| {label} | {row(*results, truth)} | {time.perf_counter() - start:.0f} |", flush=True)
    return cli.EXIT_OK


def row(good: Sequence[object], bad: Sequence[object], truth: Sequence[Boxes]) -> str:
    """Format one line of the table. ``truth`` are the true boxes of each photo in ``bad``."""
    sound = [one for one in good if isinstance(one, Inspection)]
    cracked = [one for one in bad if isinstance(one, Inspection)]
    labels = [False] * len(sound) + [True] * len(cracked)
    scores = [one.score for one in sound + cracked]
    low, high = bootstrap_ci(labels, scores)
    peaks = np.sort([one.map.max() for one in sound])
    at_5 = float(peaks[-int(0.05 * len(peaks)) - 1])
    return (
        f"{len(labels)} ({len(cracked)}) | {auroc(labels, scores):.3f} ({low:.3f} to {high:.3f}) | "
        f"{share(sum(len(boxes_of(one, one.threshold)) > 0 for one in sound), len(sound))} | "
        f"{found(cracked, truth, cracked[0].threshold)} | {found(cracked, truth, at_5)}"
    )


def found(cracked: Sequence[Inspection], truth: Sequence[Boxes], threshold: float) -> str:
    """Count the cracks that are found by boxes above ``threshold``."""
    hits = [np.asarray(finds(boxes_of(one, threshold), true).any(0)) for one, true in zip(cracked, truth, strict=True)]
    return share(sum(int(one.sum()) for one in hits), sum(one.size for one in hits))


def share(part: int, whole: int) -> str:
    """Format a share as counts, with its 95 % interval."""
    low, high = proportion_ci(part, whole)
    return f"{part} of {whole} ({low:.0%} to {high:.0%})"


def boxes_of(one: Inspection, threshold: float) -> Boxes:
    """Find the boxes (n, 4) of regions above ``threshold``."""
    regions = find_regions(one.map, threshold, one.transform, one.photo_size, eps=JOINED_WITHIN)
    return as_boxes([(r.x, r.y, r.x + r.width, r.y + r.height) for r in regions])


def photos(folder: Path) -> tuple[list[Path], dict[Path, Boxes]]:
    """List the good photos, and the cracked photos with the boxes of their polygons."""
    good: list[Path] = []
    cracked: dict[Path, Boxes] = {}
    for file in list_images(folder / "images"):
        boxes = boxes_in(folder / "labels" / f"{file.stem}.txt", file)
        if len(boxes):
            cracked[file] = boxes
        else:
            good.append(file)
    if len(good) <= LEARNED or not cracked:
        raise UserError(
            f"--data {folder}: {len(good)} good photos and {len(cracked)} cracked ones; "
            f"more than {LEARNED} good ones and a cracked one are needed"
        )
    return good, cracked


def boxes_in(labels: Path, photo: Path) -> Boxes:
    """Read the boxes of the polygons in a label file, in pixels of the photo."""
    try:
        lines = [line.split()[1:] for line in labels.read_text().splitlines() if line.strip()]
        polygons = [np.array(line, float).reshape(-1, 2) for line in lines]
    except (OSError, ValueError):
        raise UserError(f"{labels}: no such file, or not YOLO polygons (class x y x y ...); give {photo} one") from None
    if not polygons:
        return as_boxes([])
    height, width = read_image(photo).shape[:2]
    return as_boxes([[*(p.min(0) * [width, height]), *(p.max(0) * [width, height])] for p in polygons])


def crack(photo: np.ndarray, seed: int) -> tuple[np.ndarray, Boxes]:
    """Draw a synthetic crack on a photo, and return the photo and the crack's box.

    The crack is a jagged line of varying width and depth: 2 to 7 px wide, 0.2 to 0.8 of the photo's width long, and 25
    to 80 grey levels darker than the surface (the standard deviation of the grain is 17).
    """
    rng = np.random.default_rng(seed)
    size = np.array(photo.shape[1::-1])
    length = rng.uniform(0.2, 0.8) * size.min()
    count = max(6, int(length / 8))
    turns = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.12, count)) + rng.normal(0, 0.5, count)
    line = np.cumsum(np.stack([np.cos(turns), np.sin(turns)], 1) * length / count, 0)
    line -= (line.min(0) + line.max(0)) / 2
    margin = np.minimum(line.max(0) + 8, size / 2)
    line += rng.uniform(margin, size - margin)
    widths = rng.uniform(2, 7) * np.clip(1 + rng.normal(0, 0.35, count), 0.3, 1.8)
    ends = np.minimum(np.arange(1, count + 1), np.arange(count, 0, -1)) / 3
    depths = np.clip(ends * rng.uniform(0.6, 1.1, count), 0, 1)
    cover = np.zeros((size[1] * _FINER, size[0] * _FINER), np.float32)
    points = np.rint(line * _FINER).astype(int).tolist()
    for start, end, width, depth in zip(points[:-1], points[1:], widths, depths, strict=False):
        cv2.line(cover, start, end, float(depth), max(1, round(width * _FINER)))
    cover = cv2.GaussianBlur(cv2.resize(cover, tuple(size.tolist()), interpolation=cv2.INTER_AREA), (0, 0), 0.7)
    darker = rng.uniform(25, 80) * cover
    rows, columns = np.nonzero(darker > 8)
    image = np.clip(np.rint(photo - darker[..., None]), 0, 255).astype(np.uint8)
    return image, as_boxes([(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)])


if __name__ == "__main__":
    cli.run(main)
