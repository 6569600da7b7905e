"""A backbone that is registered from outside: settings, scripts and saved models take it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from data_factory import run_inside, tiny_config
from torch import nn

from fastener.anode.settings import AnodeSettings
from fastener.common.settings import known_settings
from fastener.config import Config
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Inspection
from fastener.models.backbones import BACKBONES, Backbone


def build(layers: tuple[str, ...]) -> nn.Module:
    """One convolution of stride 8, whose output is one map."""
    return nn.Sequential(nn.Conv2d(3, 8, 8, stride=8), nn.ReLU())


@pytest.fixture(autouse=True)
def weights(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "one_layer.pth"
    torch.save(build(()).state_dict(), path)
    BACKBONES["one_layer"] = Backbone("one_layer", build, stride=8)
    yield path
    del BACKBONES["one_layer"]


def test_settings_name_it() -> None:
    assert tiny_config(model={"backbone": "one_layer"}).model.backbone == "one_layer"
    assert "one_layer" in known_settings(Config)["model.backbone"]
    assert "one_layer" in AnodeSettings.model_fields["backbone"].metadata[0].names


def test_scripts_train_and_load_it(good_photos: list[Path], tmp_path: Path, weights: Path) -> None:
    assert "one_layer" in run_inside("train.py", "--help").stdout
    model = tmp_path / "model.pkl"
    flags = ("--backbone", "one_layer", "--weights", weights, "--set", "preprocess.size=64", "--device", "cpu")
    done = run_inside("train.py", "--images", good_photos[0].parent, "--output", model, "--evidence", "cnn", *flags)
    assert done.returncode == 0, done.stderr
    loaded = Inspector.load(model, weights=weights)
    assert (loaded.backbone, list(loaded.evidence)) == ("one_layer", ["cnn"])
    assert isinstance(loaded.inspect(good_photos[:1])[0], Inspection)
