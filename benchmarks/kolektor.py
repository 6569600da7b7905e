"""Cracks on KolektorSDD by PatchCore: python benchmarks/kolektor.py --data kolektor_sdd [--choose]

``--data`` holds images/ and labels/ (YOLO polygons; an empty file is a good photo). 80 good photos, drawn by
``--seed``, are learned; the table is about all others. "Good flagged" counts good photos with a box, "cracks found" the
cracks that a box overlaps by IoU 0.1 or whose centre lies in one: at the threshold that comes from the 80 alone, and,
"at 5 %", at the lowest one at which at most 5 % of the good photos reported on have a box.

``--choose`` compares settings without a look at a real crack: two thirds of the 80 are learned, the others are
inspected as they are and with two synthetic cracks each (thin, dark, jagged, fading, hardly darker than the grain). See
docs/ct_slices.md for what was chosen how.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np

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
_FINER = 4  # cracks are drawn at so many times the photo's size
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
# Pixels above the threshold that lie so near are one crack, as a faint one shows in pieces; pixels of the frame.
JOINED_WITHIN = 12.0


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="D", help="folder with images/ and labels/")
    parser.add_argument("--choose", action="store_true", help="compare settings on synthetic cracks instead")
    parser.add_argument("--only", choices=list(CANDIDATES), help="one line of the table")
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
    """The figures of one line. ``truth``: true boxes of each of the ``bad``."""
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
    """How many of all cracks the boxes above ``threshold`` find."""
    hits = [np.asarray(finds(boxes_of(one, threshold), true).any(0)) for one, true in zip(cracked, truth, strict=True)]
    return share(sum(int(one.sum()) for one in hits), sum(one.size for one in hits))


def share(part: int, whole: int) -> str:
    """A count of a count, with its interval."""
    low, high = proportion_ci(part, whole)
    return f"{part} of {whole} ({low:.0%} to {high:.0%})"


def boxes_of(one: Inspection, threshold: float) -> Boxes:
    """The boxes of what lies above ``threshold``, as (n, 4)."""
    regions = find_regions(one.map, threshold, one.transform, one.photo_size, eps=JOINED_WITHIN)
    return as_boxes([(r.x, r.y, r.x + r.width, r.y + r.height) for r in regions])


def photos(folder: Path) -> tuple[list[Path], dict[Path, Boxes]]:
    """Good photos, and cracked ones with the boxes of their polygons."""
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
    """The boxes of the polygons in a file of labels, in pixels of the photo."""
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
    """The photo with a synthetic crack, and the crack's box.

    A jagged line that wanders, of changing width and depth: 2 to 7 px wide, 0.2 to 0.8 of the photo's width long, 25
    to 80 grey levels darker than what it crosses (the grain's own deviation is 17).
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
