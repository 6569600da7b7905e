"""A small model and rendered or drawn series for the tests of corrosion/."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from data_factory import SMALL, config_from

from fastener.config import Config
from fastener.corrosion.analysis import Analyser, ComponentResult
from fastener.datasets.components import load_components
from fastener.datasets.synthetic.parts import render_part, render_time_series
from fastener.datasets.synthetic.render import RenderedPart
from fastener.inspection.inspector import Inspector


def small_config(**changes: object) -> Config:
    """Settings of the small model; ``corrosion__min_change=1`` sets corrosion.min_change."""
    return config_from({**SMALL, "evidence": ("filters", "colour"), "corrosion.frame": 256}, **changes)


@cache
def small_inspector() -> Inspector:
    """Filters and colour, trained on six healthy rendered parts."""
    finishes = ("silver", "grey", "black")
    photos = [render_part(50 + i, "bolt", finishes[i % 3], background="white").image for i in range(6)]
    return Inspector.fit(photos, small_config())


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


def analyse(folder: Path, *, model: bool = False, **changes: object) -> list[ComponentResult]:
    """Analyse a folder, without a model unless one is asked for: it adds heatmaps alone, and takes half the time."""
    config = small_config(**changes)
    run = Analyser(small_inspector() if model else None, config.corrosion, config.colour)
    return [run(series) for series in load_components(folder)[0]]


# A change of each setting of corrosion, and the series whose report it changes.
CHANGES: dict[str, tuple[str, Any]] = {
    "frame": ("rust", 192),
    "min_chroma": ("no t0", 30.0),
    "clean_chroma": ("rust", 9.0),
    "tarnish_hue_max": ("stain", 80.0),
    "green_hue_max": ("stain", 110.0),
    "oxide_chroma": ("stain", 60.0),
    "tarnish_weight": ("stain", 1.0),
    "own_hue_reach": ("paint", 0.0),
    "min_correlation": ("rust", 1.0),
    "min_cover": ("crust", 1.0),
    "min_lighter": ("crust", 90.0),
    "min_lighter_rough": ("bright crust", 90.0),
    "min_darker": ("flaked", 90.0),
    "coating_weight": ("crust", 1.0),
    "clear_marks": ("other number", 1.0),
    "min_overlap": ("crust", 1.0),
    "dead_band": ("rust", 0.0),
    "min_change": ("rust", 50.0),
    "min_growth": ("rust", 100.0),
    "new_view_margin": ("other view", 50.0),
    "colour_cutoffs": ("rust", (50.0, 60.0, 70.0, 80.0, 90.0)),
    "growth_cutoffs": ("speck", (95.0, 96.0, 97.0, 98.0, 99.0)),
    "max_clipped": ("bright", 100.0),
    "min_sharpness": ("blurred", 0.0),
}
