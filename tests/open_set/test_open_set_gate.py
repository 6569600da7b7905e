"""PatchCore on steel strips: tiles, roles, and a threshold that only the calibration strips set."""

from __future__ import annotations

import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_factory import save
from steel_factory import write_severstal

from fastener.common.errors import UserError
from fastener.config import RunSettings
from fastener.datasets.images import Photo, read_image, read_photo
from fastener.datasets.severstal import SteelStrip, load_severstal
from fastener.open_set.settings import SteelSettings
from fastener.open_set.steel_gate import SteelGate, gate_config, steel_roles
from fastener.preprocessing.pipeline import Preprocessor
from fastener.preprocessing.tiles import SquareTiles, tile_corners

RUN = RunSettings(device="cpu", workers=0)
SETTINGS = SteelSettings(backbone="filters", size=48, coreset_ratio=0.05, alpha=0.2)


@pytest.fixture(scope="module")
def strips(tmp_path_factory: pytest.TempPathFactory) -> list[SteelStrip]:
    return load_severstal(write_severstal(tmp_path_factory.mktemp("steel"), 24, 5))


def test_roles_are_apart_and_defective_strips_are_for_the_test(strips: list[SteelStrip]) -> None:
    roles = steel_roles(strips, SETTINGS, seed=1)
    parts = [roles.train, roles.calibration, roles.test_normal, roles.test_defective]
    assert sorted(np.concatenate(parts)) == list(range(len(strips)))
    assert all(strips[place].is_anomalous for place in roles.test_defective)
    assert not any(strips[place].is_anomalous for part in parts[:3] for place in part)


def test_cracks_are_found_and_the_threshold_is_that_of_the_calibration_strips(strips: list[SteelStrip]) -> None:
    roles = steel_roles(strips, SETTINGS, seed=1)
    gate, alpha = SteelGate.train(strips, roles, SETTINGS, backbone="filters", weights=None, run=RUN)
    scores = gate.scores([strip.path for strip in strips])
    assert scores[roles.test_defective].min() > scores[roles.test_normal].max()
    held_out = np.sort(scores[roles.calibration])
    tail = gate.inspector.decision.tail(held_out)
    assert len(held_out) == 10
    assert gate.threshold == pytest.approx(tail.threshold, rel=1e-6)
    assert alpha == pytest.approx(max(0.2, (1 + (held_out > gate.threshold).sum()) / 11))
    # Images are judged one by one as all at once.
    assert gate.scores([strips[0].path]) == pytest.approx(scores[:1])


def test_one_odd_strip_does_not_silence_the_gate(strips: list[SteelStrip]) -> None:
    roles = steel_roles(strips, SETTINGS, seed=1)
    gate, _ = SteelGate.train(strips, roles, SETTINGS, backbone="filters", weights=None, run=RUN)
    held_out = gate.scores([strips[place].path for place in roles.calibration])
    odd = np.append(np.tile(held_out, 3), 20 * held_out.max())
    assert gate.inspector.decision.tail(odd).threshold < 1.5 * gate.threshold


def test_odd_strips_are_named_in_the_words_of_this_job(strips: list[SteelStrip], tmp_path: Path) -> None:
    roles = steel_roles(strips, SETTINGS, seed=1)
    blob = read_image(strips[roles.calibration[0]].path).copy()
    blob[:, :60] = 255 * (np.indices((blob.shape[0], 60)).sum(0)[..., None] // 4 % 2)
    every = [*strips, replace(strips[roles.calibration[0]], path=save(blob, tmp_path / "blob.png"))]
    with_blob = replace(roles, calibration=np.append(roles.calibration, len(strips)))
    said: list[str] = []
    SteelGate.train(every, with_blob, SETTINGS, backbone="filters", weights=None, run=RUN, warn=said.append)
    (line,) = [line for line in said if "held-out" in line]
    assert line == (
        "PatchCore: 1 held-out strip(s) look unlike all others and do not set the threshold: look at blob.png"
    )
    assert not any("train.py" in line or "alpha" in line for line in said)


def test_strips_are_judged_in_tiles_of_their_whole_height(strips: list[SteelStrip]) -> None:
    config = gate_config(SETTINGS, "filters", RUN)
    plain, tiled = Preprocessor(config.preprocess), SquareTiles(config.preprocess)
    for strip in strips[:3]:
        photo = read_image(strip.path)
        side = photo.shape[0]
        tiles = tiled.tiles(photo)
        crops = [photo[:, left : left + side] for _, left in tile_corners(photo.shape[:2])]
        assert len(tiles) == len(crops) == 5
        for tile, crop in zip(tiles, crops, strict=True):
            np.testing.assert_array_equal(tile.image, plain(crop).image)


def test_the_worst_tile_is_the_one_that_scores_most_alone(strips: list[SteelStrip]) -> None:
    roles = steel_roles(strips, SETTINGS, seed=1)
    gate, _ = SteelGate.train(strips, roles, SETTINGS, backbone="filters", weights=None, run=RUN)
    for place in roles.test_defective:
        photo = read_image(strips[place].path)
        side = photo.shape[0]
        alone = [gate.inspect(photo[:, left : left + side]).score for _, left in tile_corners(photo.shape[:2])]
        whole = gate.inspect(photo)
        assert (whole.worst_tile, whole.score) == (int(np.argmax(alone)), pytest.approx(max(alone)))
    held_out = gate.scores([strips[place].path for place in roles.calibration])
    assert np.sort(gate.healthy_scores()) == pytest.approx(np.sort(held_out))


def test_training_holds_few_strips_at_a_time(strips: list[SteelStrip], monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are; 6000 of the whole data set would take gigabytes."""
    read: list[weakref.ref[np.ndarray]] = []
    alive: list[int] = []

    def watched(path: Path, **how: Any) -> Photo:
        photo = read_photo(path, **how)
        read.append(weakref.ref(photo.pixels))
        alive.append(sum(one() is not None for one in read))
        return photo

    roles = steel_roles(strips, SETTINGS, seed=1)
    monkeypatch.setattr("fastener.inspection.reading.read_photo", watched)
    run = RunSettings(device="cpu", workers=0, batch_size=1)
    SteelGate.train(strips, roles, SETTINGS, backbone="filters", weights=None, run=run)
    # Synthetic defects are drawn on the training strips, which are read again for that.
    assert len(alive) == 2 * len(roles.train) + len(roles.calibration)
    assert max(alive) <= 3 < len(roles.train)


def test_too_few_defect_free_strips(strips: list[SteelStrip]) -> None:
    with pytest.raises(UserError, match="no defect-free image"):
        steel_roles([one for one in strips if one.is_anomalous], SETTINGS, 0)
    with pytest.raises(UserError, match="cannot be shared out"):
        steel_roles(strips[:3], SETTINGS, 0)


def test_an_unreadable_strip_is_named(strips: list[SteelStrip], tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"bad\.png"):
        steel_roles([*strips, SteelStrip(tmp_path / "bad.png", False)], SETTINGS, 0)
