"""Measure a model on disturbed test photos: how much it loses when camera, light or files differ from training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure

from fastener.common.errors import UserError
from fastener.common.files import write_atomically
from fastener.common.spreadsheet import csv_text
from fastener.datasets.images import read_image
from fastener.datasets.labelled_image import LabelledImage
from fastener.evaluation.figure_style import PLAIN, Style
from fastener.evaluation.metrics import image_metrics
from fastener.evaluation.result_tables import Estimate
from fastener.evaluation.visualize import PALETTE
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Inspection
from fastener.models.progress import Progress, no_progress

_REFERENCE = 512  # longer side in pixels that the widths of blur hold for
Disturb = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


def _jpeg(photo: np.ndarray, quality: float, rng: np.random.Generator) -> np.ndarray:
    data = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


def _blur(photo: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(photo, (0, 0), sigma * max(photo.shape[:2]) / _REFERENCE))


def _noise(photo: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    return _as_photo(photo + rng.normal(0, sigma, photo.shape))


def _brightness(photo: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    return _as_photo(photo * factor)


def _contrast(photo: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    mean = photo.mean()
    return _as_photo(mean + (photo - mean) * factor)


def _rotation(photo: np.ndarray, degrees: float, rng: np.random.Generator) -> np.ndarray:
    height, width = photo.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    # A mirrored border shows parts twice where they reach it, which is odder than the streaks of a repeated one.
    return np.asarray(cv2.warpAffine(photo, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE))


def _as_photo(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


# Name, unit and steps of each disturbance, the weakest first.
DISTURBANCES: dict[str, tuple[Disturb, str, tuple[float, ...]]] = {
    "JPEG": (_jpeg, "quality", (90, 70, 50, 30, 10)),
    "blur": (_blur, "px at 512", (0.5, 1, 2, 3, 4)),
    "noise": (_noise, "grey levels", (2, 5, 10, 15, 20)),
    "darker": (_brightness, "times", (0.95, 0.9, 0.8, 0.7, 0.6)),
    "brighter": (_brightness, "times", (1.05, 1.1, 1.2, 1.3, 1.4)),
    "contrast": (_contrast, "times", (0.95, 0.9, 0.8, 0.7, 0.6)),
    "rotation": (_rotation, "degrees", (1, 2, 5, 10, 20)),
}


def disturbed(photo: np.ndarray, name: str, strength: float, seed: int = 0) -> np.ndarray:
    """Disturb a photo, uint8 RGB (H, W, 3), by an entry of ``DISTURBANCES``; the same seed draws the same noise."""
    return DISTURBANCES[name][0](photo, strength, np.random.default_rng(seed))


def robustness(
    inspector: Inspector, images: Sequence[LabelledImage], *, seed: int = 0, progress: Progress = no_progress
) -> list[dict[str, Any]]:
    """Measure the model on the images as they are and at each step of each disturbance, at its own threshold.

    Returns one row a step: ``disturbance``, ``strength``, ``unit``, ``step`` from 0 on, AUROC, recall and false alarms
    with their intervals. Raises UserError if no image can be read.
    """
    steps: list[tuple[str, float, str, int]] = [("none", 0.0, "", 0)]
    for name, (_, unit, strengths) in DISTURBANCES.items():
        steps += [(name, strength, unit, at + 1) for at, strength in enumerate(strengths)]
    rows = []
    for name, strength, unit, step in progress(steps, len(steps), "disturbances"):
        metrics = _measured(inspector, images, name, strength, seed)
        rows.append({"disturbance": name, "strength": strength, "unit": unit, "step": step} | metrics)
    return rows


def write_robustness(rows: Sequence[dict[str, Any]], folder: Path, style: Style = PLAIN) -> None:
    """Write robustness.csv, robustness.md and the figure robustness."""
    write_atomically(folder / "robustness.csv", csv_text(list(rows[0]), rows))
    lines = ["| disturbance | strength | image AUROC | recall | false alarms |", "|" + "---|" * 5]
    for row in rows:
        figures = [_text(row, key) for key in ("image_auroc", "recall", "false_positive_rate")]
        strength = f"{row['strength']:g} {row['unit']}" if row["unit"] else "-"
        lines.append(f"| {row['disturbance']} | {strength} | {' | '.join(figures)} |")
    write_atomically(folder / "robustness.md", "\n".join(lines) + "\n")
    style.write(lambda one: figure(rows, one), folder, "robustness")


def figure(rows: Sequence[dict[str, Any]], style: Style = PLAIN) -> Figure:
    """Draw AUROC over the steps of each disturbance."""
    fig, ax = style.axes("image AUROC on disturbed test photos", ratio=1.0 if style.columns == 1 else 0.5)
    start = rows[0]["image_auroc"]
    for number, name in enumerate(DISTURBANCES):
        own = [row for row in rows if row["disturbance"] == name]
        values = [start, *(row["image_auroc"] for row in own)]
        colour = (*PALETTE, "#000000")[number % (len(PALETTE) + 1)]
        ends = f"{own[0]['strength']:g} to {own[-1]['strength']:g} {own[0]['unit']}"
        ax.plot(
            [0, *(row["step"] for row in own)], values, marker="osD^vP*"[number], color=colour, label=f"{name}, {ends}"
        )
    ax.set_ylim(top=1.01)
    ax.set_xlabel("step of disturbance (0: none)")
    ax.set_ylabel("image AUROC")
    style.legend(fig, len(DISTURBANCES))
    return fig


def _measured(
    inspector: Inspector, images: Sequence[LabelledImage], name: str, strength: float, seed: int
) -> dict[str, Any]:
    labels, scores, flagged = [], [], []
    size = inspector.config.run.batch_size
    for start in range(0, len(images), size):
        kept, photos = [], []
        for number, image in enumerate(images[start : start + size]):
            try:
                photo = read_image(image.path)
            except UserError:
                continue  # the evaluation itself has named it
            photos.append(photo if name == "none" else disturbed(photo, name, strength, seed + start + number))
            kept.append(image)
        for image, result in zip(kept, inspector.inspect(photos), strict=True):
            if isinstance(result, Inspection):
                labels.append(image.is_anomalous)
                scores.append(result.score)
                flagged.append(result.is_anomalous)
    if not labels:
        raise UserError(f"none of the {len(images)} test photos could be read")
    found = image_metrics(
        np.array(labels, bool), np.array(scores), inspector.threshold, flagged=np.array(flagged, bool)
    )
    shown = ("image_auroc", "recall", "false_positive_rate")
    return {key: found[key] for name in shown for key in (name, f"{name}_ci95")}


def _text(row: dict[str, Any], metric: str) -> str:
    found = Estimate.of_metrics(row, metric)
    return "-" if found is None else " ".join(found.text(3)).strip()
