"""The ONNX graph of a network against the torch network it was made from."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from data_factory import ROOT
from random_networks import noise_photos, random_state, without_head
from torch import nn

from fastener.common.errors import UserError
from fastener.models.backbones import BACKBONES
from fastener.models.feature_extractor import FeatureExtractor
from fastener.models.runtime import graphs
from fastener.models.runtime.cnn import build_network
from fastener.models.runtime.onnx_network import OnnxNetwork, quantised, to_onnx

RESNET18 = BACKBONES["resnet18"]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> nn.Module:
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(without_head(random_state("resnet18")), path)
    return build_network(RESNET18, ("layer1", "layer2"), path).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def graph(network: nn.Module) -> torch.Tensor:
    return to_onnx(network, "the checksum")


def smooth_photos(n: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Blocks of colour, uint8 RGB (n, height, width, 3): their activations vary more than those of noise."""
    return np.kron(noise_photos(n, height // 8, width // 8, seed), np.ones((1, 8, 8, 1), np.uint8))


def as_tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 255


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 96, 64), (2, 65, 103)])
def test_the_graph_gives_what_torch_gives_at_any_size(
    network: nn.Module, graph: torch.Tensor, shape: tuple[int, int, int]
) -> None:
    images = as_tensor(noise_photos(*shape))
    expected, found = network(images), OnnxNetwork(graph)(images)
    assert len(found) == len(expected) == 2
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


def test_the_extractor_takes_it_for_a_network(network: nn.Module, graph: torch.Tensor) -> None:
    images = noise_photos(2, 64, 64)
    expected = FeatureExtractor(network)(images)
    torch.testing.assert_close(FeatureExtractor(OnnxNetwork(graph))(images), expected, rtol=1e-3, atol=1e-4)


def test_it_knows_the_weights_it_was_made_from(graph: torch.Tensor) -> None:
    assert OnnxNetwork(graph).weights_checksum == "the checksum"


def test_int8_is_int8_stays_close_and_needs_a_quarter_of_the_bytes(network: nn.Module, graph: torch.Tensor) -> None:
    small = quantised(graph, as_tensor(smooth_photos(6, 64, 64)))
    kinds = [node.op_type for node in onnx.load_from_string(small.numpy().tobytes()).graph.node]
    assert kinds.count("QuantizeLinear") > kinds.count("Conv") > 0
    assert len(small) < 0.3 * len(graph)
    runs = OnnxNetwork(small)
    assert runs.weights_checksum == "the checksum"
    images = as_tensor(smooth_photos(3, 64, 64, seed=1))
    for one, other in zip(runs(images), network(images), strict=True):
        varies = (other - other.mean((0, 2, 3), keepdim=True)).norm()
        assert 0 < (one - other).norm() < 0.2 * varies


def test_the_same_photos_give_the_same_int8(graph: torch.Tensor) -> None:
    images = as_tensor(smooth_photos(2, 32, 32))
    assert torch.equal(quantised(graph, images), quantised(graph, images))


def test_making_a_graph_says_nothing(
    network: nn.Module, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    quantised(to_onnx(network, ""), as_tensor(noise_photos(1, 32, 32)))
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


@pytest.mark.parametrize("missing", ["onnxruntime", "onnx", "onnxscript"])
def test_a_missing_package_is_one_line(
    network: nn.Module, graph: torch.Tensor, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(UserError, match=rf"package {missing}, .*requirements/onnx\.txt$"):
        OnnxNetwork(graph) if missing == "onnxruntime" else to_onnx(network, "")


def test_a_damaged_graph_is_one_line(graph: torch.Tensor) -> None:
    with pytest.raises(UserError, match="graph cannot be read") as caught:
        OnnxNetwork(graph[: len(graph) // 2])
    assert "\n" not in str(caught.value)


def test_requirements_name_the_packages() -> None:
    text = (ROOT / "requirements/onnx.txt").read_text(encoding="utf-8")
    assert all(f"\n{name}>=" in text for name in ("onnx", "onnxruntime", "onnxscript"))
