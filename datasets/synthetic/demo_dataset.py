"""Write a demonstration data set of rendered fasteners: labelled images, masks, and time series of components."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np

from fastener.common.errors import UserError
from fastener.datasets.synthetic.material import FINISHES
from fastener.datasets.synthetic.parts import DEFECTS, KINDS, render_part, render_time_series

CSV_CLASSES = {"rust": "Rust", "pit": "Pit", "scratch": "Scratch", "bend": "Bend", "none": "Good-Part"}
# Component name -> kind, finish, and share of rust at T0 and after each 24 hours; the washer stays clean.
COMPONENTS = {
    "Bolt Grey": ("bolt", "grey", (0.0, 0.04, 0.13, 0.28)),
    "Nut Black": ("nut", "black", (0.0, 0.02, 0.09, 0.35)),
    "Washer Silver": ("washer", "silver", (0.0, 0.0, 0.0, 0.0)),
}


def write_demo_dataset(
    folder: Path,
    seed: int = 0,
    *,
    n_train: int = 40,
    n_valid_good: int = 12,
    n_valid_defect: int = 12,
    n_test_good: int = 20,
    n_test_defect: int = 20,
    size: tuple[int, int] = (320, 320),
    background: str | None = None,
) -> None:
    """Write a demonstration data set: labelled images in three splits, masks of their defects, and time series.

    - ``<split>/`` for train (good parts only), valid and test: PNG images and ``_classes.csv``, which has a column
      filename and one 0/1 column for each of ``CSV_CLASSES``.
    - ``masks/<split>/<same name>``: the mask (0 or 255) of each part with a defect.
    - ``components/<Name>-T<hours>.png``: the time series.

    Kinds, finishes and defects take turns. The same arguments give the same bytes. Missing folders are made, and files
    of the same names are replaced. Raises UserError if a file cannot be written.

    Parameters
    ----------
    folder
        Where the data set goes.
    seed
        Seed of all draws, 0 or more.
    n_train, n_valid_good, n_valid_defect, n_test_good, n_test_defect
        Numbers of images.
    size
        (height, width) of the images in pixels, at least 64 each.
    background
        Background of all parts; None draws one for each part.
    """
    part_seed = seed * 1_000_000
    counts = {"train": (n_train, 0), "valid": (n_valid_good, n_valid_defect), "test": (n_test_good, n_test_defect)}
    for number, (split, (good, bad)) in enumerate(counts.items()):
        _write_split(
            folder / split,
            folder / "masks" / split,
            part_seed + 10_000 * number,
            good=good,
            bad=bad,
            size=size,
            background=background,
        )
    for index, (name, (kind, finish, shares)) in enumerate(COMPONENTS.items()):
        series = render_time_series(part_seed + 900_000 + index, kind, finish, shares, size=size, background="white")
        for hours, part in zip(range(0, 96, 24), series, strict=True):
            write_png(folder / "components" / f"{name}-T{hours}.png", part.image)


def _write_split(
    folder: Path,
    masks: Path,
    first_seed: int,
    *,
    good: int,
    bad: int,
    size: tuple[int, int],
    background: str | None,
) -> None:
    rows = []
    for index in range(good + bad):
        kind, finish = KINDS[index % 3], tuple(FINISHES)[index // 3 % 3]
        defect = "none" if index < good else DEFECTS[1 + (index - good) % 4]
        kind = "bolt" if (kind, defect) == ("nut", "bend") else kind
        part = render_part(first_seed + index, kind, finish, defect, size=size, background=background)
        name = f"{index:03d}-{kind}-{finish}-{'good' if defect == 'none' else defect}.png"
        write_png(folder / name, part.image)
        if defect != "none":
            write_png(masks / name, part.defect_mask.astype(np.uint8) * 255)
        rows.append([name, *(int(defect == known) for known in CSV_CLASSES)])
    path = folder / "_classes.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["filename", *CSV_CLASSES.values()])
        writer.writerows(rows)


def write_png(path: Path, image: np.ndarray) -> None:
    """Write a picture, uint8 RGB (H, W, 3), or a mask (H, W). Raises UserError if the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        encoded = cv2.imencode(".png", image if image.ndim == 2 else image[..., ::-1])[1]
        path.write_bytes(encoded.tobytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error
