"""Zones of significant surface on the photo at T0: rectangles, polygons and masks, in the canonical frame."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from corrosion_factory import rendered, small_config, small_inspector, write_series

from fastener.common.errors import UserError
from fastener.corrosion.analysis import Analyser
from fastener.corrosion.quality import NO_ZONE
from fastener.corrosion.zones import parse_zone
from fastener.datasets.components import load_components
from fastener.preprocessing.pipeline import Prepared

SIZE = (60, 80)  # height and width of the photo


def prepared(transform: np.ndarray | None = None, frame: tuple[int, int] = SIZE) -> Prepared:
    """A photo of 80x60 pixels in a frame; without a transform, the frame is the photo."""
    mask = np.ones(frame, bool)
    picture = np.zeros((*frame, 3), np.uint8)
    move = np.eye(2, 3) if transform is None else transform
    return Prepared(picture, mask, picture, move, SIZE, np.full(3, 255, np.float32), True, True)


def test_a_rectangle_covers_its_share_of_the_photo() -> None:
    found = parse_zone("0.25,0,0.75,0.5")(Path("a.jpg"), prepared())
    assert found is not None
    expected = np.zeros(SIZE, bool)
    expected[:30, 20:60] = True
    assert (found != expected).mean() < 0.03


def test_a_polygon_follows_the_photo_into_its_frame() -> None:
    half_turned = np.array([[0.0, -0.5, 30.0], [0.5, 0.0, 0.0]])  # a quarter turn and half the size
    found = parse_zone("0,0 0.5,0 0,1")(Path("a.jpg"), prepared(half_turned, (40, 40)))
    assert found is not None
    assert found.sum() == pytest.approx(0.25 * 30 * 40, rel=0.2)
    assert found[5, 25]  # x = 10, y = 10 of the photo
    assert not found[30, 10]


def test_masks_come_from_a_file_or_from_a_folder_by_name(tmp_path: Path) -> None:
    mask = np.zeros((30, 40), np.uint8)  # half the size of the photo
    mask[:15] = 255
    cv2.imwrite(str(tmp_path / "Nut-T0-1.png"), mask)
    for zone in (parse_zone(str(tmp_path / "Nut-T0-1.png")), parse_zone(str(tmp_path))):
        found = zone(Path("photos/Nut-T0-1.jpg"), prepared())
        assert found is not None
        assert found[:30].all()
        assert not found[30:].any()
    assert parse_zone(str(tmp_path))(Path("photos/Nut-T0.jpg"), prepared()) is None


@pytest.mark.parametrize(
    "text", ["", "1,2", "0,0,1,2", "0.5,0.5,0.5,0.9", "0,0 1,1", "a,b,c,d", "nowhere.png", "0,0 0,1 1", "nan,0,1,1"]
)
def test_bad_zones_are_one_line(text: str) -> None:
    with pytest.raises(UserError, match="--zone") as caught:
        parse_zone(text)
    assert "\n" not in str(caught.value)


def test_a_black_mask_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((40, 40), np.uint8))
    for path in (tmp_path / "empty", tmp_path / "black.png"):
        with pytest.raises(UserError, match="--zone"):
            parse_zone(str(path))


def test_only_the_zone_counts(tmp_path: Path) -> None:
    new, rusty = rendered((0.0, 0.3))
    write_series(tmp_path, "Bolt", [new.image, rusty.image], ["0", "24"])
    config, (series,) = small_config(), load_components(tmp_path)[0]
    height = new.image.shape[0]
    rows = np.flatnonzero(rusty.part_mask.any(axis=1))
    cut = int(rows[0] + 0.4 * (rows[-1] - rows[0]))
    for zone, lines in ((f"0,0,1,{cut / height}", slice(0, cut)), (f"0,{cut / height},1,1", slice(cut, None))):
        analyse = Analyser(small_inspector(), config.corrosion, config.colour, zone=parse_zone(zone))
        later = analyse(series).points[1]
        expected = 100.0 * rusty.defect_mask[lines].sum() / rusty.part_mask[lines].sum()
        assert later.rust == pytest.approx(expected, abs=6.0)
        assert NO_ZONE not in later.shots[0].flags


def test_a_zone_beside_the_part_is_an_error(tmp_path: Path) -> None:
    write_series(tmp_path, "Bolt", [rendered((0.0,))[0].image], ["0"])
    config, (series,) = small_config(), load_components(tmp_path)[0]
    analyse = Analyser(small_inspector(), config.corrosion, config.colour, zone=parse_zone("0,0,0.01,0.01"))
    with pytest.raises(UserError, match="covers no part of"):
        analyse(series)
