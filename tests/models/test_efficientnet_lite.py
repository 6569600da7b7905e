"""EfficientNet-Lite0 by pip: every tensor fits, the file is the published one, and the network knows ImageNet."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F

from fastener.models.backbones import BACKBONES
from fastener.models.efficientnet_lite import timm_names, whole_lite0
from fastener.models.runtime.cnn import build_network, cnn_extractor
from fastener.models.runtime.onnx_network import OnnxNetwork, quantised, to_onnx
from fastener.models.runtime.weights import find_weights, read_state_dict

LITE0 = BACKBONES["efficientnet_lite0"]
CROSSWORD, TRAFFIC_LIGHT = 918, 920  # of the 1000 classes of ImageNet


@pytest.fixture(scope="module")
def weights() -> Path:
    found = find_weights(LITE0, download=False)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def whole(weights: Path) -> torch.nn.Module:
    network = whole_lite0()
    network.load_state_dict(timm_names(read_state_dict(weights)), strict=True)
    return network.eval()


def as_input(images: np.ndarray) -> torch.Tensor:
    return (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5


def test_the_file_is_the_published_one(weights: Path) -> None:
    assert weights.name == "efficientnet-lite0-57934424.pth"
    assert hashlib.sha256(weights.read_bytes()).hexdigest().startswith("57934424")


def test_a_changed_file_in_the_package_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "odd_package").mkdir()
    (tmp_path / "odd_package" / "__init__.py").touch()
    (tmp_path / "odd_package" / "net-57934424.pth").write_bytes(b"other weights")
    monkeypatch.syspath_prepend(tmp_path)
    odd = replace(LITE0, name="odd", package=("odd_package", "net-57934424.pth", "odd-package"))
    assert find_weights(odd, download=False) is None


def test_every_tensor_fits(weights: Path) -> None:
    renamed = timm_names(read_state_dict(weights))
    expected = whole_lite0().state_dict()
    assert len(renamed) == len(expected) == 296
    assert renamed.keys() == expected.keys()
    assert all(renamed[key].shape == tensor.shape for key, tensor in expected.items())


def test_it_computes_what_timm_computes(whole: torch.nn.Module) -> None:
    theirs = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    theirs.load_state_dict(whole.state_dict())
    images = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 3, 96, 65)).astype(np.float32))
    with torch.inference_mode():
        torch.testing.assert_close(whole(images), theirs(images), rtol=1e-5, atol=1e-5)


def test_batch_statistics_are_those_of_real_activations(whole: torch.nn.Module) -> None:
    """On photo-like noise each batch norm's own mean and variance are near those that it was trained with."""
    generator = np.random.default_rng(0)
    coarse = [cv2.resize(generator.normal(0, 1, (side, side, 3)), (224, 224)) for side in (3, 7, 14, 28, 56, 112)]
    photos = np.stack([sum(np.roll(one, shift, 0) for one in coarse) for shift in range(0, 224, 28)])
    images = np.clip(120 + 35 * photos, 0, 255).astype(np.uint8)
    seen: list[torch.Tensor] = []
    norm = whole.get_submodule("blocks.3.0.bn1")
    hook = norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        whole(as_input(images))
    hook.remove()
    std = seen[0].std((0, 2, 3))
    ratio = (std / norm.running_var.sqrt()).median()  # type: ignore[operator]
    assert 0.3 < ratio < 3


def test_it_knows_rendered_objects(whole: torch.nn.Module) -> None:
    """A crossword and a traffic light, drawn with a few lines."""
    puzzle = np.full((224, 224, 3), 255, np.uint8)
    for line in range(12, 213, 20):
        cv2.line(puzzle, (12, line), (212, line), (0, 0, 0), 2)
        cv2.line(puzzle, (line, 12), (line, 212), (0, 0, 0), 2)
    for cell in np.random.default_rng(0).choice(100, 24, replace=False):
        y, x = 12 + 20 * (cell // 10), 12 + 20 * (cell % 10)
        puzzle[y : y + 20, x : x + 20] = 0
    light = np.full((224, 224, 3), (150, 190, 230), np.uint8)
    cv2.rectangle(light, (82, 20), (142, 190), (30, 30, 30), -1)
    for y, colour in ((50, (240, 30, 20)), (105, (90, 80, 20)), (160, (20, 80, 30))):
        cv2.circle(light, (112, y), 23, colour, -1)
    with torch.inference_mode():
        top = whole(as_input(np.stack([puzzle, light]))).topk(5).indices.tolist()
    assert CROSSWORD in top[0]
    assert TRAFFIC_LIGHT in top[1]


@pytest.mark.parametrize("shape", [(64, 64), (97, 131), (224, 256)])
def test_layers_are_those_of_timm_with_the_stated_stride(
    whole: torch.nn.Module, weights: Path, shape: tuple[int, int]
) -> None:
    """Behind the activation; the cut and folded network against hooks on timm's own, which pads by itself."""
    import timm

    reference = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    reference.load_state_dict(whole.state_dict())
    images = np.random.default_rng(0).integers(0, 256, (2, *shape, 3)).astype(np.uint8)
    expected: list[torch.Tensor] = []
    for layer in LITE0.layers:
        reference.get_submodule(layer).register_forward_hook(lambda *call: expected.append(call[2]))
    extractor, _ = cnn_extractor(LITE0, weights)
    with torch.inference_mode():
        reference(as_input(images))
        found = extractor.network(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
    for one, other, channels in zip(found, expected, (240, 672), strict=True):
        assert one.shape[1] == channels
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    assert found[0].shape[-2:] == (-(-shape[0] // LITE0.stride), -(-shape[1] // LITE0.stride))


def test_the_border_is_that_of_a_relu(weights: Path) -> None:
    assert LITE0.border == "zeros"
    network = build_network(LITE0, LITE0.layers, weights)
    with torch.inference_mode():
        maps = network(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert all(float(one.min()) >= 0 and float(one.max()) <= 6 for one in maps)


def test_nothing_behind_the_last_layer_is_held(weights: Path) -> None:
    held = {name for name, _ in build_network(LITE0, LITE0.layers, weights).named_parameters()}
    assert "trunk.blocks.5.0.bn1.weight" in held
    assert not any(
        name.startswith(("trunk.blocks.5.0.conv_dw", "trunk.blocks.5.1", "trunk.conv_head")) for name in held
    )


def test_onnx_and_int8_stay_close(weights: Path) -> None:
    network = build_network(LITE0, LITE0.layers, weights).eval().requires_grad_(False)
    graph = to_onnx(network, "checksum")
    images = F.interpolate(torch.rand(3, 3, 9, 13, generator=torch.Generator().manual_seed(0)), (65, 103))
    small = quantised(graph, images)
    for one, other, exact in zip(OnnxNetwork(graph)(images), OnnxNetwork(small)(images), network(images), strict=True):
        torch.testing.assert_close(one, exact, rtol=1e-3, atol=1e-3)
        assert float((other - exact).norm()) < 0.5 * float(exact.norm())
