"""A small model and rendered or drawn series for the tests of corrosion/."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from config import Config, load_config
from corrosion.analysis import Analyser, ComponentResult
from datasets.components import load_components
from datasets.synthetic import RenderedPart, render_part, render_time_series
from inspection.inspector import Inspector

SMALL = {
    "preprocess.size": 64,
    "model.backbone": "filters",
    "evidence": ("filters", "colour"),
    "run.device": "cpu",
    "run.workers": 0,
    "corrosion.frame": 384,
}


def small_config(**changes: object) -> Config:
    """Settings of the small model; ``corrosion__min_change=1`` sets corrosion.min_change."""
    return load_config(flags={**SMALL, **{key.replace("__", "."): value for key, value in changes.items()}})


@cache
def small_inspector() -> Inspector:
    """Filters and colour, trained on six healthy rendered parts."""
    finishes = ("silver", "grey", "black")
    photos = [render_part(50 + i, "bolt", finishes[i % 3], background="white").image for i in range(6)]
    return Inspector.train(photos, small_config())


def write_photo(folder: Path, name: str, photo: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    assert cv2.imwrite(str(path), photo[..., ::-1])
    return path


def rendered(shares: Sequence[float], finish: str = "black", **how: object) -> list[RenderedPart]:
    return render_time_series(7, "bolt", finish, shares, background="white", **how)  # type: ignore[arg-type]


def write_series(folder: Path, name: str, photos: Sequence[np.ndarray], hours: Sequence[str]) -> None:
    for photo, moment in zip(photos, hours, strict=True):
        write_photo(folder, f"{name}-T{moment}.png", photo)


def analyse(folder: Path, **changes: object) -> list[ComponentResult]:
    config = small_config(**changes)
    run = Analyser(small_inspector(), config.corrosion, config.colour)
    return [run(series) for series in load_components(folder)[0]]
