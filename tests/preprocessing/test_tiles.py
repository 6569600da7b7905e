"""Tiles: squares that cover a photo, each with its own transform, and one map stitched from theirs."""

from __future__ import annotations

import numpy as np
import pytest
from data_factory import tiny_config
from hypothesis import given
from hypothesis import strategies as st

from fastener.config import PreprocessSettings
from fastener.datasets.synthetic.parts import render_part
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Inspection
from fastener.preprocessing.pipeline import Prepared, Preprocessor
from fastener.preprocessing.registration import apply
from fastener.preprocessing.tiles import SquareTiles, stitch, tile_corners

PLAIN = PreprocessSettings(enabled=False, size=32)


@given(st.integers(1, 30), st.integers(1, 90), st.booleans())
def test_tiles_are_squares_that_cover_the_photo(side: int, length: int, tall: bool) -> None:
    side, length = sorted((side, length))
    photo = np.arange(side * length * 3).reshape(side, length, 3)
    photo = photo.transpose(1, 0, 2) if tall else photo
    tiles = [photo[top : top + side, left : left + side] for top, left in tile_corners(photo.shape[:2])]
    assert all(tile.shape == (side, side, 3) for tile in tiles)
    assert len(tiles) == -(-length // side)
    assert {int(value) for tile in tiles for value in tile.ravel()} == set(range(photo.size))


@pytest.mark.parametrize("tall", [False, True])
def test_the_transform_of_a_tile_leads_from_the_whole_photo(tall: bool) -> None:
    photo = np.zeros((200, 64, 3) if tall else (64, 200, 3), np.uint8)
    photo[150:152, 30:32] = photo[30:32, 150:152] = 255
    spot = np.array([[30.5, 150.5] if tall else [150.5, 30.5]])
    for tile in SquareTiles(PLAIN).tiles(photo):
        assert tile.photo_size == photo.shape[:2]
        x, y = apply(tile.transform, spot)[0]
        if 0 <= x < 32 and 0 <= y < 32:
            assert tile.image[round(y), round(x)].min() > 100
            break
    else:
        pytest.fail("no tile shows the spot")


def test_tiles_of_a_shrunk_copy_are_placed_in_the_full_size_photo() -> None:
    whole = SquareTiles(PLAIN).tiles(np.zeros((128, 400, 3), np.uint8))
    copy = SquareTiles(PLAIN).tiles(np.zeros((64, 200, 3), np.uint8), (128, 400))
    for one, other in zip(whole, copy, strict=True):
        assert one.photo_size == other.photo_size == (128, 400)
        np.testing.assert_allclose(one.transform, other.transform, atol=0.3)


def test_a_square_photo_is_one_tile_like_any_other() -> None:
    photo = render_part(0, size=(96, 96)).image
    (tile,) = SquareTiles(PLAIN).tiles(photo)
    plain = Preprocessor(PLAIN)(photo)
    assert np.array_equal(tile.image, plain.image)
    np.testing.assert_allclose(tile.transform, plain.transform)


def tile_at(left: int, side: int, width: int) -> Prepared:
    blank = np.zeros((side, side, 3), np.uint8)
    transform = np.array([[1.0, 0.0, -left], [0.0, 1.0, 0.0]])
    return Prepared(blank, np.ones((side, side), bool), blank, transform, (side, width), np.ones(3), False, True)


def test_stitched_maps_keep_the_higher_value_where_tiles_overlap() -> None:
    tiles = [tile_at(0, 8, 20), tile_at(6, 8, 20), tile_at(12, 8, 20)]
    map_, mask, transform = stitch([np.full((8, 8), value, np.float32) for value in (1, 3, 2)], tiles)
    assert map_.shape == mask.shape == (8, 20)
    assert mask.all()
    np.testing.assert_allclose(transform, np.eye(2, 3))
    np.testing.assert_array_equal(map_[0], [1] * 6 + [3] * 8 + [2] * 6)


def test_a_place_that_no_tile_shows_was_not_inspected() -> None:
    map_, mask, _ = stitch([np.ones((8, 8), np.float32)] * 2, [tile_at(0, 8, 20), tile_at(12, 8, 20)])
    assert np.isnan(map_[:, 8:12]).all()
    assert not mask[:, 8:12].any()
    assert (map_[:, :8] == 1).all()


def strip(seed: int, spot: tuple[int, int] | None = None) -> np.ndarray:
    photo = np.random.default_rng(seed).integers(100, 140, (48, 160, 3), dtype=np.uint8)
    if spot is not None:
        photo[spot[0] - 4 : spot[0] + 4, spot[1] - 4 : spot[1] + 4] = 0
    return photo


def test_the_inspector_joins_the_tiles_of_a_photo() -> None:
    config = tiny_config(preprocess={"size": 48, "enabled": False})
    tiled = Inspector.fit([strip(seed) for seed in range(6)], config, preprocessor=SquareTiles(config.preprocess))
    assert len(tiled.training.checksums) == len(tiled.decision.healthy_joined) == 6
    good, bad = tiled.inspect([strip(10), strip(11, (24, 130))])
    assert isinstance(good, Inspection)
    assert isinstance(bad, Inspection)
    assert bad.is_anomalous
    assert bad.score > good.score
    heat = bad.photo_map()
    assert heat.shape == (48, 160)
    assert not np.isnan(heat).any()
    row, column = np.unravel_index(np.argmax(heat), heat.shape)
    assert abs(row - 24) < 12
    assert abs(column - 130) < 12
    worst = bad.regions[0]
    assert worst.x <= 130 <= worst.x + worst.width
    assert bad.overlay().shape == (48, 160, 3)
    # Each tile by itself, as a photo of its own: the photo's score is the score of the worst.
    crops = [strip(11, (24, 130))[:, left : left + 48] for _, left in tile_corners((48, 160))]
    alone = [one.score for one in tiled.inspect(crops) if isinstance(one, Inspection)]
    assert bad.score == pytest.approx(max(alone), abs=1e-4)


def test_new_photos_are_learned_in_tiles_too() -> None:
    config = tiny_config(preprocess={"size": 48, "enabled": False})
    tiled = Inspector.fit([strip(seed) for seed in range(4)], config, preprocessor=SquareTiles(config.preprocess))
    assert tiled.partial_fit([strip(20), strip(21), strip(0)]).new_photos_ == 2
    assert len(tiled.decision.healthy_joined) == 6
