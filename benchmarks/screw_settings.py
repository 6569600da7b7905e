"""Compare settings on a category of MVTec AD: python benchmarks/screw_settings.py --category-dir D

One row a setting, each one knob away from the first. A model learns from 70 % of the healthy training photos and is
measured twice: on the other 30 %, each as it is and with a synthetic defect (datasets/synthetic/defects.py), and on
the test photos. Only the first measurement chooses: the row with the highest mean of validation AUROC and AUPRO. That
row and the first are then learned once more, from all training photos ("final"). Intervals are 95 % bootstrap ones.

--only takes some of the rows by name; --list names them. --no-final leaves the last two runs out.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastener.commands import cli
from fastener.common.errors import UserError
from fastener.config import load_config
from fastener.datasets.images import read_image
from fastener.datasets.labelled_image import LabelledImage
from fastener.datasets.mvtec import load_category, read_mask
from fastener.datasets.synthetic.defects import add_defect
from fastener.evaluation.metrics import auroc, bootstrap_ci
from fastener.evaluation.pixel_metrics import PixelMetrics
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Inspection
from fastener.preprocessing.segmentation import find_part

MVTEC = Path(__file__).resolve().parents[1] / "configs" / "mvtec_paper.yaml"
HELD_OUT = 0.3
# The part is found and turned upright; the light stays as it is.
UPRIGHT = (
    "preprocess.enabled=true",
    "preprocess.white_balance=false",
    "preprocess.inpaint_highlights=false",
    "preprocess.clahe_clip_limit=0",
)


@dataclass(frozen=True)
class Setting:
    """Changes to the base settings; each training photo is used at ``turns`` evenly spaced angles."""

    name: str
    changes: tuple[str, ...] = ()
    turns: int = 1


def whole(size: int) -> tuple[str, ...]:
    """Make the settings that use the whole photo at ``size`` pixels a side."""
    return (f"preprocess.size={size}", "preprocess.center_crop=1.0")


@dataclass(frozen=True)
class Labelled:
    """Photos, uint8 RGB, with masks of their defects; ``pairs`` has the same number for copies of one photo."""

    photos: list[np.ndarray]
    masks: list[np.ndarray]
    anomalous: np.ndarray
    pairs: np.ndarray


@dataclass(frozen=True)
class Result:
    """Metrics of one model on one set of photos."""

    auroc: float
    interval: tuple[float, float]
    aupro: float
    seconds: float


BASE = ("model.backbone=resnet18", "model.target_dim=null", "model.num_neighbors=1", "evidence=[cnn]")
SMALL = ("model.coreset_ratio=0.025",)
SMALLER = ("model.coreset_ratio=0.0125",)
# All after the first keep fewer patches, and fewer still where an image has more of them: search stays affordable.
SETTINGS = (
    Setting("base: ResNet-18, layers 2+3, 224 px of crop 0.875, 10 %, 384-d, 1-NN"),
    Setting("2.5 %", SMALL),
    Setting("2.5 %, upright", (*SMALL, *UPRIGHT)),
    Setting("2.5 %, whole photo at 256 px", (*SMALL, *whole(256))),
    Setting("2.5 %, whole photo at 320 px", (*SMALL, *whole(320))),
    Setting("2.5 %, upright, 320 px", (*SMALL, *UPRIGHT, "preprocess.size=320")),
    Setting(
        "2.5 %, upright, 320 px, cnn + filters",
        (*SMALL, *UPRIGHT, "preprocess.size=320", "evidence=[cnn, filters]"),
    ),
    Setting("2.5 %, filters", (*SMALL, "evidence=[filters]")),
    Setting("2.5 %, cnn + filters", (*SMALL, "evidence=[cnn, filters]")),
    Setting("2.5 %, num_neighbors 9", (*SMALL, "model.num_neighbors=9")),
    Setting("2.5 %, target_dim 256", (*SMALL, "model.target_dim=256")),
    Setting("2.5 %, layer 2 only", (*SMALL, "model.layers=[layer2]")),
    Setting("1.25 %, training photos at 4 angles", SMALLER, turns=4),
    Setting("1.25 %, layers 1+2+3", (*SMALLER, "model.layers=[layer1, layer2, layer3]")),
    Setting("1.25 %, whole photo at 448 px", (*SMALLER, *whole(448))),
    Setting("1.25 %, upright, 448 px", (*SMALLER, *UPRIGHT, "preprocess.size=448")),
)


def main() -> int:
    """Measure and print, one row as soon as it is known."""
    arguments = _arguments()
    chosen = [s for s in SETTINGS if not arguments.only or any(text in s.name for text in arguments.only)]
    if arguments.list or not chosen:
        print("\n".join(setting.name for setting in SETTINGS))
        return cli.EXIT_OK
    folder = arguments.category_dir
    category = load_category(folder.parent, folder.name)
    photos = [read_image(path) for path in category.train]
    order = np.random.default_rng(arguments.seed).permutation(len(photos))
    cut = round(HELD_OUT * len(photos))
    learning = [photos[i] for i in sorted(order[cut:])]
    validation = with_defects([photos[i] for i in sorted(order[:cut])], arguments.seed)
    test = read_test(category.test)
    print("| setting | validation AUROC | validation AUPRO | test AUROC | test AUPRO | learned in s | s per photo |")
    print("|---|---|---|---|---|---|---|", flush=True)
    worth: list[float] = []
    for setting in chosen:
        inspector, seconds = learn(setting, learning, arguments.set)
        on_validation = measure(inspector, validation)
        print_row(setting.name, on_validation, measure(inspector, test), seconds)
        worth.append((on_validation.auroc + on_validation.aupro) / 2)
    if arguments.final:
        best = chosen[int(np.argmax(worth))]
        for setting in (chosen[0], best) if best is not chosen[0] else (best,):
            inspector, seconds = learn(setting, photos, arguments.set)
            print_row(f"final, all {len(photos)} photos: {setting.name}", None, measure(inspector, test), seconds)
    return cli.EXIT_OK


def learn(setting: Setting, photos: Sequence[np.ndarray], assignments: Sequence[str]) -> tuple[Inspector, float]:
    """Train a model, and return it with the seconds taken."""
    config = load_config(MVTEC, [*BASE, *setting.changes, *assignments])
    start = time.perf_counter()
    shown = [turned(photo, 360 * k / setting.turns) for photo in photos for k in range(setting.turns)]
    return Inspector.fit(shown, config), time.perf_counter() - start


def measure(inspector: Inspector, labelled: Labelled) -> Result:
    """Measure image AUROC with its interval, and AUPRO on the full photo; defects in cropped-off borders are missed."""
    pixels, scores = PixelMetrics(), []
    start = time.perf_counter()
    for inspection, mask in zip(inspector.stream(labelled.photos), labelled.masks, strict=True):
        assert isinstance(inspection, Inspection)
        scores.append(inspection.score)
        pixels.update(inspection.photo_map(), mask)
    seconds = (time.perf_counter() - start) / len(scores)
    interval = bootstrap_ci(labelled.anomalous, scores, groups=labelled.pairs)
    return Result(auroc(labelled.anomalous, scores), interval, pixels.compute()["aupro"] or 0.0, seconds)


def with_defects(photos: Sequence[np.ndarray], seed: int) -> Labelled:
    """List every photo as it is, then every photo with one synthetic defect."""
    parts = [find_part(photo).mask for photo in photos]
    defective = [
        add_defect(photo, part, seed * 1_000_000 + index)
        for index, (photo, part) in enumerate(zip(photos, parts, strict=True))
    ]
    n = len(photos)
    return Labelled(
        [*photos, *(one.image for one in defective)],
        [*(np.zeros(photo.shape[:2], bool) for photo in photos), *(one.mask for one in defective)],
        np.arange(2 * n) >= n,
        np.arange(2 * n) % n,
    )


def read_test(images: Sequence[LabelledImage]) -> Labelled:
    """Read the photos of the test split with their masks. Raises UserError if a mask is missing."""
    photos, masks = [], []
    for image in images:
        photo = read_image(image.path)
        if image.is_anomalous and image.mask_path is None:
            raise UserError(f"{image.path}: has no mask; this table needs one for each defective photo")
        photos.append(photo)
        size = photo.shape[:2]
        masks.append(read_mask(image.mask_path, size) if image.mask_path is not None else np.zeros(size, bool))
    return Labelled(photos, masks, np.array([image.is_anomalous for image in images]), np.arange(len(images)))


def turned(photo: np.ndarray, degrees: float) -> np.ndarray:
    """Turn a photo about its centre, repeating its border; quarter turns of a square photo are exact."""
    if degrees == 0:
        return photo
    if degrees % 90 == 0 and photo.shape[0] == photo.shape[1]:
        return np.ascontiguousarray(np.rot90(photo, round(degrees / 90)))
    height, width = photo.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    return np.asarray(cv2.warpAffine(photo, turn, (width, height), borderMode=cv2.BORDER_REPLICATE))


def print_row(name: str, validation: Result | None, test: Result, seconds: float) -> None:
    """Print one line of the table."""
    of_validation = f"{with_interval(validation)} | {validation.aupro:.3f}" if validation is not None else "|"
    print(
        f"| {name} | {of_validation} | {with_interval(test)} | {test.aupro:.3f} | {seconds:.0f} | {test.seconds:.3f} |",
        flush=True,
    )


def with_interval(result: Result) -> str:
    """Format AUROC with its interval."""
    return f"{result.auroc:.3f} ({result.interval[0]:.3f} to {result.interval[1]:.3f})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--category-dir", type=Path, required=True, metavar="D", help="an MVTec category's folder")
    parser.add_argument("--only", nargs="+", default=[], metavar="TEXT", help="rows whose name holds one of these")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    parser.add_argument("--no-final", dest="final", action="store_false", help="do not learn from all photos")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting for every row")
    return parser.parse_args()


if __name__ == "__main__":
    cli.run(main)
