"""Pictures show what the inspection says, at the right place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_factory import part, tiny_config
from inspection_factory import inspection, with_regions

from fastener.datasets.images import shrunk
from fastener.inspection import pictures
from fastener.inspection.drawing import Picture, save_picture
from fastener.inspection.pictures import (
    detection_picture,
    heatmap_picture,
    overlay_picture,
    preprocessing_sheet,
    regions_picture,
)
from fastener.inspection.result import Region
from fastener.preprocessing.pipeline import Preprocessor


def test_regions_are_drawn_where_they_are_also_on_a_shrunk_photo() -> None:
    photo = np.full((400, 600, 3), 200, np.uint8)
    one = inspection()
    large = with_regions(replace(one, photo_size=(400, 600)), Region(200, 100, 100, 50, 9.0, 5000.0))
    for scale in (1.0, 0.5):
        small = shrunk(photo, round(600 * scale))
        drawn = (regions_picture(small, large) != small).any(2)
        rows, columns = np.nonzero(drawn)
        assert [columns.min(), rows.min()] == pytest.approx([200 * scale, 100 * scale], abs=2)
        assert [columns.max(), rows.max()] == pytest.approx([300 * scale, 150 * scale], abs=2)
        assert not drawn[round(125 * scale), round(250 * scale)]
    assert (photo == 200).all()


def test_overlay_leaves_healthy_places_alone_and_marks_the_others() -> None:
    photo = np.full((40, 60, 3), 200, np.uint8)
    overlay = overlay_picture(photo, inspection())
    assert (overlay[2:6, 2:10] == 200).all()
    assert np.abs(overlay[14, 30].astype(int) - 200).max() > 60
    # The colour scale is the model's: another score of the same part changes no colour.
    assert np.array_equal(overlay, overlay_picture(photo, inspection(score=0.1)))


def test_raw_heatmap_shows_differences_where_other_evidence_is_silent() -> None:
    """Silent kinds of evidence add a floor of 0.98 to every place; what lies above it is seen."""
    own = np.linspace(0.01, 0.3, 600, dtype=np.float32).reshape(20, 30)
    alone = replace(inspection(), map=own)
    beside = replace(alone, map=np.hypot(own, 0.98))
    photo = np.full((40, 60, 3), 200, np.uint8)
    plain, raised = (heatmap_picture(photo, one)[:, :60].astype(int).sum(2) for one in (alone, beside))
    assert np.corrcoef(plain.ravel(), raised.ravel())[0, 1] > 0.95
    assert raised[-4:].mean() > raised[8:12].mean() + 50 > raised[:4].mean() + 100


def test_the_lowest_mark_of_a_colour_bar_is_the_value_that_is_drawn_darkest(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[float, dict[str, float]]] = []

    def kept(picture: Picture, vmin: float, vmax: float, marks: dict[str, float]) -> Picture:
        drawn.append((vmin, marks))
        return picture

    monkeypatch.setattr(pictures, "with_colour_bar", kept)
    for least, expected in ((1e-7, "0.003"), (0.98, "0.98")):
        map_ = np.full((20, 30), 4.0, np.float32)
        map_[0] = least
        heatmap_picture(np.zeros((40, 60, 3), np.uint8), replace(inspection(), map=map_))
        bottom, marks = drawn.pop()
        assert marks[expected] == pytest.approx(bottom, abs=1e-3)


def test_overlay_of_a_shrunk_photo_marks_the_same_place() -> None:
    photo = np.full((40, 60, 3), 200, np.uint8)
    half = overlay_picture(photo[::2, ::2], inspection())
    whole = overlay_picture(photo, inspection())
    assert half.shape == (20, 30, 3)
    assert np.abs(half[7, 15].astype(int) - whole[14, 30]).max() < 20


def test_pictures_can_be_saved(tmp_path: Path) -> None:
    sheet = detection_picture(np.full((40, 60, 3), 90, np.uint8), inspection(Path("x" * 200 + ".png")))
    save_picture(sheet, tmp_path / "det.png")
    assert sheet.shape[1] > 3 * 420
    preprocessor = Preprocessor(tiny_config().preprocess)
    rows = preprocessing_sheet([(Path(f"{i}.png"), preprocessor(part(i))) for i in range(3)])
    assert rows.shape[0] > 3 * 200


def test_shrunk_keeps_small_photos_and_proportions() -> None:
    photo = np.zeros((30, 50, 3), np.uint8)
    assert shrunk(photo, 1600) is photo
    assert shrunk(np.zeros((1000, 4000, 3), np.uint8), 400).shape == (100, 400, 3)
