"""What must hold on the real series, with a ResNet-18 model of the fasteners and the T0 shots."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from fastener.benchmarks.corrosion_robustness import EXPECTED, HOURS, failings, turned
from fastener.config import Config, load_config
from fastener.corrosion.analysis import Analyser, TimePoint
from fastener.datasets.components import Series, load_components
from fastener.datasets.csv_splits import load_splits
from fastener.datasets.folder import baseline_images
from fastener.datasets.images import read_image
from fastener.inspection.inspector import Inspector

NEEDED = ("FASTENER_DATA_DIR", "FASTENER_WEIGHTS_DIR")
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(
        any(name not in os.environ for name in NEEDED),
        reason=f"set {' and '.join(NEEDED)} to the real data and weights",
    ),
]
NAMES = tuple(EXPECTED)
SEVERAL_SHOTS = NAMES[:4]


def data() -> Path:
    return Path(os.environ["FASTENER_DATA_DIR"])


@cache
def analyser() -> Analyser:
    config = load_config(flags={"model.backbone": "resnet18", "run.device": "cpu"})
    healthy = [image.path for image in load_splits(data() / "fasteners", ["train"])[0].images if not image.is_anomalous]
    inspector = Inspector.fit([*healthy, *baseline_images(data() / "components", "T0")], config)
    return Analyser(inspector, Config().corrosion, Config().colour)


def series(name: str) -> Series:
    return next(one for one in load_components(data() / "components")[0] if one.component == name)


def analysed(one: Series) -> dict[float, TimePoint]:
    """Without a model: heatmaps take most of the time, and only growth depends on them."""
    return {point.hours: point for point in Analyser(None, Config().corrosion, Config().colour)(one).points}


@cache
def without_model(name: str) -> dict[float, TimePoint]:
    """The table of the issue holds without any model, and no verdict depends on one."""
    return analysed(series(name))


def of_views(point: TimePoint, kind: str) -> list[float]:
    return [getattr(shot.surface, kind) for shot in point.shots if shot.surface is not None]


@pytest.mark.parametrize("name", NAMES)
def test_status_and_areas_are_those_seen_by_eye(name: str) -> None:
    found = without_model(name)
    for index, hours in enumerate(HOURS):
        assert failings(found[hours], name, index) == []


def test_deposit_comes_on_the_thread_and_hardly_grows_on_the_bearing_face() -> None:
    grey, nut = without_model("Bolt M5x0.8 Grey"), without_model("Nut Black")
    assert max(of_views(grey[48.0], "white")) > 6.0
    assert max(of_views(nut[72.0], "white")) <= max(of_views(nut[48.0], "white"))


def test_rusting_bolt() -> None:
    bolt = without_model("Bolt Allen Black")
    assert bolt[0].rust < 0.5
    assert bolt[24].rust < bolt[48].rust
    for hours in (48, 72):
        assert 6.0 < bolt[hours].rust < 30.0
        assert bolt[hours].status == "DEGRADING"
        for shot in bolt[hours].shots:
            assert 6.0 < shot.colour.rust < 30.0


@pytest.mark.parametrize("name", ["Nut Black", "Nut Insert Black", "Washer Black"])
def test_parts_without_red_rust_show_none(name: str) -> None:
    for point in analyser()(series(name)).points:
        assert all(shot.colour.rust < 0.5 for shot in point.shots)
        assert point.status == without_model(name)[point.hours].status


def test_red_patch_is_no_rust() -> None:
    for point in without_model("Bolt M5x0.8 Grey").values():
        for shot in point.shots:
            assert shot.changes is not None
            assert abs(shot.changes.rust.rise) < 3.0
        assert not point.verdict.is_rusting


@pytest.mark.parametrize("name", SEVERAL_SHOTS)
def test_t0_against_t0_is_never_degrading(name: str) -> None:
    """Each T0 shot against the others: another side, which is not judged unless it looks the same."""
    first = series(name).at(0.0)
    for left_out in first:
        shots = sorted((replace(shot, hours=float(shot is left_out)) for shot in first), key=lambda shot: shot.hours)
        later = analyser()(Series(name, tuple(shots))).points[1]
        assert later.growth is not None
        assert later.growth < 5.0
        assert later.status in ("STABLE", "NOT JUDGED")


@pytest.mark.parametrize("name", NAMES)
def test_turned_and_dimmed_photos_give_the_same(name: str, tmp_path: Path) -> None:
    shots = []
    for shot in series(name).shots:
        if shot.hours == 24:
            path = tmp_path / f"{shot.path.stem}.png"
            dimmed = np.rint(0.8 * turned(read_image(shot.path), 30.0)).astype(np.uint8)
            assert cv2.imwrite(str(path), dimmed[..., ::-1])
            shots.append(replace(shot, path=path))
        elif shot.hours == 0:
            shots.append(shot)
    found, straight = analysed(Series(name, tuple(shots)))[24], without_model(name)[24]
    assert abs(found.rust - straight.rust) < 1.5
    assert found.status == straight.status
