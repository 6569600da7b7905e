"""Patch features against torchvision with hooks, and pooling and resampling written out in numpy."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import State, noise_photos, random_state, without_head
from scipy.spatial.distance import cdist
from torch import nn
from torchvision.models import get_model

from fastener.models.backbones import BACKBONES, IMAGENET_MEAN, IMAGENET_STD
from fastener.models.feature_extractor import FeatureExtractor
from fastener.models.runtime.cnn import build_network, cnn_extractor

RESNET18 = BACKBONES["resnet18"]


@pytest.fixture(scope="module")
def state() -> State:
    return random_state("resnet18")


@pytest.fixture(scope="module")
def weights(state: State, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only what the default layers need: neither layer4 nor fc."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(without_head(state), path)
    return path


# The reference


def hooked(name: str, state: State, layers: tuple[str, ...], images: np.ndarray) -> list[np.ndarray]:
    """Outputs of the named modules of the whole torchvision network, in float32, (n, c, h, w)."""
    network = get_model(name, weights=None)
    network.load_state_dict(state)
    outputs: dict[str, np.ndarray] = {}

    def keep(layer: str) -> Callable[[nn.Module, Any, torch.Tensor], None]:
        return lambda module, inputs, output: outputs.update({layer: output.detach().clone().numpy()})

    for layer in layers:
        network.get_submodule(layer).register_forward_hook(keep(layer))
    scaled = (images / 255.0 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    with torch.no_grad():
        network.eval()(torch.from_numpy(scaled.transpose(0, 3, 1, 2)).float())
    return [outputs[layer] for layer in layers]


def local_mean(maps: np.ndarray, size: int) -> np.ndarray:
    """Mean of size x size neighbours, position by position; zeros beyond the border."""
    result = np.empty(maps.shape)
    reach = size // 2
    for y in range(maps.shape[2]):
        for x in range(maps.shape[3]):
            window = maps[:, :, max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
            result[:, :, y, x] = window.sum((2, 3)) / size**2
    return result


def bilinear_matrix(source: int, target: int) -> np.ndarray:
    """(target, source): linear interpolation with pixel centres at half integers, held at the ends."""
    matrix = np.zeros((target, source))
    for row in range(target):
        at = min(max((row + 0.5) * source / target - 0.5, 0), source - 1)
        below = min(int(at), max(source - 2, 0))
        matrix[row, below] += 1 - (at - below)
        matrix[row, min(below + 1, source - 1)] += at - below
    return matrix


def reference(layers: list[np.ndarray], patch_size: int = 3) -> np.ndarray:
    """Layers (n, c, h, w) -> features (n, h, w, sum of c) on the largest grid."""
    grid = max((layer.shape[2:] for layer in layers), key=lambda shape: shape[0] * shape[1])
    parts = []
    for layer in layers:
        pooled = local_mean(layer.astype(np.float64), patch_size)
        rows, columns = bilinear_matrix(layer.shape[2], grid[0]), bilinear_matrix(layer.shape[3], grid[1])
        parts.append(np.einsum("yh,nchw,xw->nyxc", rows, pooled, columns, optimize=True))
    return np.concatenate(parts, 3)


class Cells(nn.Module):
    """Layers without weights: mean colours of square cells."""

    def __init__(self, *sides: int):
        super().__init__()
        self.sides = sides

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [nn.functional.avg_pool2d(images, side) for side in self.sides]


# Values


@pytest.mark.parametrize(
    "layers", [("layer2", "layer3"), ("layer1",), ("layer1", "layer3"), ("maxpool", "layer2.0.conv1", "layer2.1")]
)
def test_features_equal_torchvision_with_hooks(state: State, weights: Path, layers: tuple[str, ...]) -> None:
    images = noise_photos(2, 64, 96)
    extractor, _ = cnn_extractor(RESNET18, weights, layers)
    expected = reference(hooked("resnet18", state, layers, images))
    np.testing.assert_allclose(extractor(images).numpy(), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_layers_are_joined_in_the_order_of_the_network(weights: Path) -> None:
    images = noise_photos(1, 64, 64)
    one, other = (
        cnn_extractor(RESNET18, weights, layers)[0] for layers in (("layer1", "layer3"), ("layer3", "layer1"))
    )
    assert torch.equal(one(images), other(images))


def test_a_layer_before_a_relu_keeps_its_negative_values(state: State, weights: Path) -> None:
    """torchvision's ReLUs work in place and would overwrite what is taken out in front of them."""
    network = build_network(RESNET18, ("bn1", "layer1"), weights)
    output = network(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))[0]
    assert (output < 0).float().mean() > 0.1


@pytest.mark.parametrize("patch_size", [1, 3, 5])
def test_patch_size(patch_size: int) -> None:
    images = noise_photos(2, 40, 56)
    scaled = images.transpose(0, 3, 1, 2) / 255.0
    cells = [scaled.reshape(2, 3, 40 // s, s, 56 // s, s).mean((3, 5)) for s in (4, 8)]
    features = FeatureExtractor(Cells(4, 8), patch_size)(images)
    np.testing.assert_allclose(features.numpy(), reference(cells, patch_size), atol=1e-6)


def test_wide_resnet50_2_equals_torchvision_with_hooks() -> None:
    backbone = BACKBONES["wide_resnet50_2"]
    network = build_network(backbone, backbone.layers, None)
    state = get_model(backbone.name, weights=None).state_dict()
    state |= {key.removeprefix("trunk."): value for key, value in network.state_dict().items() if "trunk." in key}
    images = noise_photos(1, 64, 64)
    features = FeatureExtractor(network)(images)
    assert features.shape == (1, 8, 8, 512 + 1024)
    expected = reference(hooked(backbone.name, state, backbone.layers, images))
    np.testing.assert_allclose(features.numpy(), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2"])
def test_default_layers_of_the_others(name: str) -> None:
    backbone = BACKBONES[name]
    channels = {"resnet50": 512 + 1024, "mobilenet_v2": 192 + 576}[name]
    features = FeatureExtractor(build_network(backbone, backbone.layers, None))(noise_photos(1, 64, 96))
    assert features.shape == (1, 8, 12, channels)
    assert features.std() > 0


def test_an_image_alone_and_in_a_batch(weights: Path) -> None:
    extractor, _ = cnn_extractor(RESNET18, weights, target_dim=64, colour_weight=4.0)
    images = noise_photos(3, 64, 64)
    together = extractor(images)
    for index in range(3):
        torch.testing.assert_close(together[index], extractor(images[index : index + 1])[0], rtol=1e-4, atol=1e-4)


# What is computed


def test_the_forward_pass_stops_at_the_last_layer_needed(weights: Path) -> None:
    names = {
        name.split(".")[1]
        for name in build_network(RESNET18, ("layer2", "layer3"), weights).state_dict()
        if "." in name
    }
    assert names == {"conv1", "bn1", "layer1", "layer2", "layer3"}
    names = {name.split(".")[1] for name in build_network(RESNET18, ("layer1",), weights).state_dict() if "." in name}
    assert names == {"conv1", "bn1", "layer1"}
    children = [name for name, _ in build_network(RESNET18, ("layer2",), weights).named_modules()]
    assert not [name for name in children if "layer3" in name or "layer4" in name or "fc" in name]


@pytest.mark.parametrize("size", [(224, 224), (256, 256), (320, 320), (512, 512), (96, 160), (97, 131)])
def test_the_grid_is_asked_from_the_network(weights: Path, size: tuple[int, int]) -> None:
    extractor, _ = cnn_extractor(RESNET18, weights)
    features = extractor(noise_photos(1, *size))
    assert features.shape == (1, -(-size[0] // 8), -(-size[1] // 8), 128 + 256)
    assert features.dtype == torch.float32
    assert features.is_contiguous()


def test_nothing_is_trained(weights: Path) -> None:
    extractor, _ = cnn_extractor(RESNET18, weights)
    before = copy.deepcopy(extractor.network.state_dict())
    assert not extractor(noise_photos(2, 64, 64)).requires_grad
    assert not extractor.network.training
    assert not any(parameter.requires_grad for parameter in extractor.network.parameters())
    after = extractor.network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


# Projection


def test_the_projection_comes_from_the_seed(weights: Path) -> None:
    images = noise_photos(1, 64, 64)
    plain = cnn_extractor(RESNET18, weights)[0](images)
    projected = cnn_extractor(RESNET18, weights, target_dim=32, seed=7)[0]
    features = projected(images)
    assert features.shape == (1, 8, 8, 32)
    assert torch.equal(cnn_extractor(RESNET18, weights, target_dim=32, seed=7)[0](images), features)
    assert not torch.allclose(cnn_extractor(RESNET18, weights, target_dim=32, seed=8)[0](images), features)
    matrix = np.random.default_rng(7).standard_normal((384, 32)) / 32**0.5
    torch.testing.assert_close(features.double(), plain.double() @ torch.from_numpy(matrix), rtol=1e-3, atol=1e-4)


def test_the_projection_keeps_distances_in_the_mean(weights: Path) -> None:
    images = noise_photos(2, 64, 64)
    plain = cnn_extractor(RESNET18, weights)[0](images).reshape(-1, 384)
    ratios = []
    for seed in range(4):
        projected = cnn_extractor(RESNET18, weights, target_dim=256, seed=seed)[0](images).reshape(-1, 256)
        ratios.append(torch.pdist(projected).square() / torch.pdist(plain).square())
    assert torch.stack(ratios).mean() == pytest.approx(1.0, abs=0.06)


def test_no_projection_to_more_numbers_than_there_are(weights: Path) -> None:
    for target_dim in (None, 384, 4096):
        assert cnn_extractor(RESNET18, weights, target_dim=target_dim)[0].projection is None


def test_state_is_taken_back(weights: Path) -> None:
    images = noise_photos(3, 64, 64)
    first, _ = cnn_extractor(RESNET18, weights, target_dim=32, colour_weight=4.0, seed=1)
    first.fit(first(images).reshape(-1, 38))
    second, _ = cnn_extractor(RESNET18, weights, target_dim=32, colour_weight=4.0, seed=2)
    assert not torch.allclose(first(images), second(images))
    second.restore(first.state())
    assert torch.equal(first(images), second(images))


# Colour


def test_colour_weight_zero_appends_and_learns_nothing(weights: Path) -> None:
    extractor, _ = cnn_extractor(RESNET18, weights, colour_weight=0.0)
    features = extractor(noise_photos(2, 64, 64))
    rows = features.reshape(-1, 384).clone()
    assert torch.equal(extractor.fit(rows), features.reshape(-1, 384))
    assert extractor.state() == {"projection": None, "mean": None, "std": None, "whitening": None}


def test_appended_colours_are_mean_and_deviation_of_lab() -> None:
    """A quarter of each cell of 8 pixels is white, the rest black: L* has mean 25 and deviation 43.3, here over 50."""
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[:, :, ::4] = 255
    features = FeatureExtractor(Cells(8), patch_size=1, colour_weight=2.0)(image)
    assert features.shape == (1, 4, 4, 3 + 6)
    expected = np.tile([0.5, 0, 0, 0.75**0.5, 0, 0], (4, 4, 1))
    np.testing.assert_allclose(features[0, ..., 3:].numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("colour_weight", [0.5, 4.0])
def test_the_scale_of_colour(standardise: bool, colour_weight: float) -> None:
    """50 CIELab units weigh ``colour_weight`` times the total deviation of the structural features."""
    generator = torch.Generator().manual_seed(0)
    structure = torch.randn(500, 5, generator=generator) * torch.tensor([1.0, 2.0, 3.0, 0.5, 10.0]) + 4
    colours = torch.randn(500, 6, generator=generator)
    extractor = FeatureExtractor(Cells(8), standardise=standardise, colour_weight=colour_weight)
    rows = extractor.fit(torch.cat([structure, colours], 1))
    total = float(rows[:, :5].std(0).norm())
    assert total == pytest.approx(5**0.5 if standardise else float(structure.std(0).norm()), rel=1e-4)
    if not standardise:
        torch.testing.assert_close(rows[:, :5], structure)
    expected = (colours - colours.mean(0)) * colour_weight * total
    torch.testing.assert_close(rows[:, 5:], expected, rtol=1e-4, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.just(0.0) | st.floats(0.01, 20.0), st.booleans(), st.integers(1, 5))
def test_learned_scales_apply_to_later_images(colour_weight: float, standardise: bool, seed: int) -> None:
    extractor = FeatureExtractor(Cells(4, 8), standardise=standardise, colour_weight=colour_weight)
    images = noise_photos(2, 32, 32, seed)
    features = extractor(images)
    rows = extractor.fit(features.reshape(-1, features.shape[-1]).clone())
    torch.testing.assert_close(extractor(images).reshape(rows.shape), rows, rtol=1e-4, atol=1e-4)


# Length and whitening


def test_each_layer_of_each_patch_has_length_one(state: State, weights: Path) -> None:
    images = noise_photos(2, 64, 96)
    extractor, _ = cnn_extractor(RESNET18, weights, ("layer1", "layer2"))
    extractor.unit_length = True
    layers = np.split(reference(hooked("resnet18", state, ("layer1", "layer2"), images)), [64], axis=3)
    expected = np.concatenate([layer / np.linalg.norm(layer, axis=3, keepdims=True) for layer in layers], 3)
    np.testing.assert_allclose(extractor(images).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("standardise", [False, True])
def test_distances_between_whitened_features_are_those_of_mahalanobis(standardise: bool) -> None:
    generator = np.random.default_rng(0)
    rows = (generator.normal(size=(400, 5)) @ generator.normal(size=(5, 5)) + 3).astype(np.float32)
    expected_rows = (rows - rows.mean(0)) / rows.std(0, ddof=1) if standardise else rows
    covariance = np.cov(expected_rows.T.astype(float))
    inverse = np.linalg.inv(covariance + 0.3 * np.trace(covariance) / 5 * np.eye(5))
    expected = cdist(expected_rows[:20], expected_rows[20:40], "mahalanobis", VI=inverse)
    extractor = FeatureExtractor(Cells(8), standardise=standardise, whiten=True)
    fitted = extractor.fit(torch.from_numpy(rows.copy())).numpy()
    np.testing.assert_allclose(cdist(fitted[:20], fitted[20:40]), expected, rtol=1e-4)
    np.testing.assert_allclose(fitted.mean(0), 0, atol=1e-4)


def test_colour_is_not_whitened_and_weighs_as_much() -> None:
    generator = torch.Generator().manual_seed(0)
    structure = torch.randn(500, 5, generator=generator) @ torch.randn(5, 5, generator=generator)
    colours = torch.randn(500, 6, generator=generator)
    extractor = FeatureExtractor(Cells(8), colour_weight=2.0, whiten=True)
    rows = extractor.fit(torch.cat([structure, colours], 1))
    expected = (colours - colours.mean(0)) * 2.0 * 5**0.5
    torch.testing.assert_close(rows[:, 5:], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("colour_weight", [0.0, 4.0])
def test_whitening_applies_to_later_images_and_is_kept(standardise: bool, colour_weight: float) -> None:
    make = partial(FeatureExtractor, Cells(4, 8), standardise=standardise, colour_weight=colour_weight, whiten=True)
    extractor, images = make(), noise_photos(2, 32, 32)
    features = extractor.centre_on(extractor(images))
    rows = extractor.fit(features.reshape(-1, features.shape[-1]).clone())
    torch.testing.assert_close(extractor(images).reshape(rows.shape), rows, rtol=1e-3, atol=1e-3)
    again = make()
    again.restore(extractor.state())
    assert torch.equal(again(images), extractor(images))


# Half precision


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.01), (torch.float16, 0.001)])
def test_half_precision_moves_distances_by_little(weights: Path, dtype: torch.dtype, tolerance: float) -> None:
    """The figures of models/device.py, as shares of the median distance between patches."""
    coarse = [
        np.kron(noise_photos(1, side, side, side)[0], np.ones((96 // side, 96 // side, 1))) for side in (1, 6, 24, 96)
    ]
    images = np.stack(coarse).astype(np.uint8)
    exact = cnn_extractor(RESNET18, weights)[0](images).reshape(-1, 384)
    half = cnn_extractor(RESNET18, weights, dtype=dtype)[0](images)
    assert half.dtype == torch.float32
    distances = torch.pdist(exact.double())
    moved = (torch.pdist(half.reshape(-1, 384).double()) - distances).abs() / distances.median()
    assert 0 < moved.max() < tolerance
