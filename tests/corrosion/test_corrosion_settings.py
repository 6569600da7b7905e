"""Every setting of the section ``corrosion`` does something: a case each that changes the result of an analysis."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pytest
from corrosion_factory import CHANGES, analyse, rendered, small_config, write_series

from fastener.common.errors import UserError
from fastener.config import CorrosionSettings, load_config
from fastener.corrosion.comparison import NO_VIEW, PLACES
from fastener.corrosion.records import component_record
from fastener.datasets.synthetic.corrosion import Corrosion, render_corrosion
from fastener.datasets.synthetic.parts import render_part

pytestmark = pytest.mark.slow

# These settings concern the model's heatmap.
OF_HEATMAP = ("dead_band", "min_growth", "growth_cutoffs")


def stained(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A third of the part yellow-brown, a third green, by the columns of its pixels."""
    result = photo.copy()
    rows, columns = np.nonzero(mask)
    low, high = np.quantile(columns, [1 / 3, 2 / 3])
    for where, colour in ((columns < low, (150, 130, 70)), (columns > high, (60, 130, 90))):
        result[rows[where], columns[where]] = colour
    return result


def painted(photo: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    result = photo.copy()
    columns = np.nonzero(mask)[1]
    band = mask & (np.arange(mask.shape[1]) > np.quantile(columns, 0.4))
    band &= np.arange(mask.shape[1]) < np.quantile(columns, 0.7)
    result[band] = colour
    return result


def series(name: str) -> tuple[list[np.ndarray], list[str]]:
    sound, rusty = rendered((0.0, 0.2), jitter=0.5)
    first = sound.image
    match name:
        case "rust":
            return [first, rusty.image], ["0", "24"]
        case "speck":
            return [first, rendered((0.0, 0.02), jitter=0.5)[1].image], ["0", "24"]
        case "crust" | "bright crust" | "flaked":
            state = Corrosion(dark=0.3) if name == "flaked" else Corrosion(white=0.3)
            finish = "black" if name == "crust" else "silver"
            return [one.image for one in render_corrosion(4, "washer", finish, [Corrosion(), state])], ["0", "24"]
        case "no t0":
            return [rusty.image], ["24"]
        case "stain":
            still = rendered((0.0,), jitter=0.0)[0]
            return [still.image, stained(still.image, still.part_mask)], ["0", "24"]
        case "paint":
            still = rendered((0.0,), jitter=0.0)[0]
            both = [painted(still.image, still.part_mask, colour) for colour in ((150, 40, 45), (160, 75, 55))]
            return both, ["0", "24"]
        case "other view":
            return [first, render_part(3, "nut", "black", "rust", rust_share=0.2, background="white").image], [
                "0",
                "24",
            ]
        case "other number":
            return [one.image for one in render_corrosion(4, "washer", "black", [Corrosion()] * 2)], ["0", "24-1"]
        case "bright":
            return [first, burnt(first, sound.part_mask)], ["0", "24"]
        case _:
            return [first, cv2.GaussianBlur(first, (0, 0), 6.0)], ["0", "24"]


def burnt(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A quarter of the part burnt out, in specks."""
    rows, columns = np.indices(mask.shape)
    speck = (rows % 8 < 4) & (columns % 8 < 4)
    return np.where((mask & speck)[..., None], np.uint8(255), photo)


@cache
def outcome(name: str, setting: str = "", *, model: bool = False) -> str:
    """What is reported of a series, as text; with another value of ``setting`` if one is named."""
    settings = {f"corrosion__{setting}": CHANGES[setting][1]} if setting else {}
    with TemporaryDirectory() as folder:
        photos, hours = series(name)
        write_series(Path(folder), "Bolt", photos, hours)
        result = analyse(Path(folder), model=model, **settings)[0]
        record = component_record(result, small_config(**settings).corrosion)
    return str(record).replace(folder, "")


def test_every_setting_has_a_case() -> None:
    assert set(CHANGES) == set(CorrosionSettings.model_fields)


@pytest.mark.parametrize("setting", CHANGES)
def test_setting_changes_the_result(setting: str) -> None:
    name = CHANGES[setting][0]
    model = setting in OF_HEATMAP
    assert outcome(name, model=model) != outcome(name, setting, model=model)


def test_series_are_what_they_are_named() -> None:
    assert NO_VIEW in outcome("other view")
    assert PLACES in outcome("rust")
    assert "'blurred'" in outcome("blurred")
    assert "over-exposed" in outcome("bright")
    assert "'tarnish" in outcome("stain")


@pytest.mark.parametrize("value", ["[1,2,3,4]", "[5,4,3,2,1]", "[1,1,2,3,4]", "[-1,2,3,4,5]", "[1,2,3,4,101]"])
def test_cutoffs_must_be_five_and_ascend(value: str) -> None:
    with pytest.raises(UserError, match="five ascending numbers"):
        load_config(assignments=[f"corrosion.colour_cutoffs={value}"])
