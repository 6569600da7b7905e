"""What is in weights files: formats, damage, checksums, and whether a network takes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from random_networks import State, noise_photos, random_state, without_head
from safetensors.torch import save_file

from fastener.common.errors import UserError
from fastener.models.backbones import BACKBONES
from fastener.models.runtime.cnn import cnn_extractor
from fastener.models.runtime.weights import checksum, read_state_dict

RESNET18 = BACKBONES["resnet18"]


@pytest.fixture(scope="module")
def state() -> State:
    return random_state("resnet18")


@pytest.fixture(scope="module")
def weights(state: State, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(without_head(state), path)
    return path


# Reading


def small_state() -> State:
    generator = torch.Generator().manual_seed(0)
    return {
        "conv1.weight": torch.randn(4, 3, 2, 2, generator=generator),
        "bn1.running_mean": torch.randn(4, generator=generator),
        "bn1.num_batches_tracked": torch.tensor(3),
    }


def save_arrays(state: State, path: Path) -> None:
    arrays: dict[str, Any] = {key: value.numpy() for key, value in state.items()}
    np.savez(path, **arrays)


WRITERS: dict[str, Callable[[State, Path], None]] = {
    ".pth": torch.save,
    ".pt": lambda state, path: torch.save({"epoch": 1, "state_dict": state}, path),
    ".safetensors": save_file,
    ".npz": save_arrays,
}


@pytest.mark.parametrize("suffix", list(WRITERS))
def test_formats_agree_bit_by_bit(tmp_path: Path, suffix: str) -> None:
    state = small_state()
    path = tmp_path / f"weights{suffix}"
    WRITERS[suffix](state, path)
    loaded = read_state_dict(path)
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], state[key]) and loaded[key].dtype == state[key].dtype for key in state)
    assert checksum(loaded) == checksum(state)


@pytest.mark.parametrize("suffix", list(WRITERS))
def test_half_precision_becomes_float32(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    WRITERS[suffix]({"conv1.weight": torch.tensor([0.5, 1 / 3]).half()}, path)
    loaded = read_state_dict(path)["conv1.weight"]
    assert loaded.dtype == torch.float32
    assert torch.equal(loaded, torch.tensor([0.5, 1 / 3]).half().float())


def test_the_prefix_of_parallel_training_is_dropped(tmp_path: Path) -> None:
    torch.save({f"module.{key}": value for key, value in small_state().items()}, tmp_path / "weights.pth")
    assert read_state_dict(tmp_path / "weights.pth").keys() == small_state().keys()


@pytest.mark.parametrize("suffix", list(WRITERS))
def test_damaged_files_are_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    WRITERS[suffix](small_state(), path)
    whole = path.read_bytes()
    for content in (b"", b"not weights at all", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"^{path} cannot be read as weights") as error:
            read_state_dict(path)
        assert "\n" not in str(error.value)


def test_files_that_hold_something_else(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    for content in ({"lr": 0.1}, [torch.zeros(2)], torch.zeros(2)):
        torch.save(content, path)
        with pytest.raises(UserError, match="holds no state dict"):
            read_state_dict(path)


class Hostile:
    """Unpickling this makes a file."""

    def __init__(self, trap: Path):
        self.trap = trap

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return (Path.touch, (self.trap,))


@pytest.mark.parametrize("suffix", [".pth", ".npz"])
def test_code_in_a_file_does_not_run(tmp_path: Path, suffix: str) -> None:
    trap, path = tmp_path / "trap", tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"conv1.weight": Hostile(trap)}, path)
    else:
        arrays: dict[str, Any] = {"conv1.weight": np.array([Hostile(trap)], dtype=object)}
        np.savez(path, **arrays)
    with pytest.raises(UserError, match="cannot be read"):
        read_state_dict(path)
    assert not trap.exists()


def test_checksum_sees_values_and_names_but_not_counters() -> None:
    state = small_state()
    original = checksum(state)
    assert checksum(dict(reversed(state.items()))) == original
    assert checksum(state | {"bn1.num_batches_tracked": torch.tensor(99)}) == original
    changed = state["conv1.weight"].clone()
    changed[0, 0, 0, 0] += 1e-3
    assert checksum(state | {"conv1.weight": changed}) != original
    assert checksum({f"x{key}": value for key, value in state.items()}) != original


# Into the network


def test_formats_and_unused_heads_make_no_difference(tmp_path: Path, state: State, weights: Path) -> None:
    full, tensors, arrays = tmp_path / "full.pth", tmp_path / "trimmed.safetensors", tmp_path / "trimmed.npz"
    torch.save(state, full)
    save_file(without_head(state), tensors)
    save_arrays(without_head(state), arrays)
    images = noise_photos(1, 64, 64)
    expected, digest = cnn_extractor(RESNET18, weights)
    for path in (full, tensors, arrays):
        extractor, same = cnn_extractor(RESNET18, path)
        assert torch.equal(extractor(images), expected(images))
        assert same == digest


def test_other_weights_have_another_checksum(tmp_path: Path, state: State, weights: Path) -> None:
    changed = without_head(state) | {"conv1.weight": state["conv1.weight"] * 1.01}
    torch.save(changed, tmp_path / "changed.pth")
    _, digest = cnn_extractor(RESNET18, weights)
    assert cnn_extractor(RESNET18, tmp_path / "changed.pth")[1] != digest
    # What lies behind the last layer does not count.
    torch.save(state | {"fc.bias": state["fc.bias"] + 1}, tmp_path / "head.pth")
    assert cnn_extractor(RESNET18, tmp_path / "head.pth")[1] == digest


def test_weights_that_do_not_fit(tmp_path: Path, state: State, weights: Path) -> None:
    with pytest.raises(UserError, match=r"resnet18\.pth does not fit resnet18: 'layer4\.0.*' is missing"):
        cnn_extractor(RESNET18, weights, ("layer4",))
    with pytest.raises(UserError, match=r"does not fit mobilenet_v2: 'features.*' is missing; .* another network"):
        cnn_extractor(BACKBONES["mobilenet_v2"], weights)
    with pytest.raises(UserError, match=r"does not fit resnet50: 'layer1.* has shape"):
        cnn_extractor(BACKBONES["resnet50"], weights)
    torch.save(state | {"conv1.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "shape.pth")
    with pytest.raises(UserError, match=r"'conv1\.weight' has shape \(64, 3, 3, 3\), not \(64, 3, 7, 7\)"):
        cnn_extractor(RESNET18, tmp_path / "shape.pth")


@pytest.mark.parametrize("layer", ["layer5", "", "layer2.7", "Layer2"])
def test_an_unknown_layer_names_the_known_ones(weights: Path, layer: str) -> None:
    with pytest.raises(UserError, match=rf"model\.layers: resnet18 has no layer '{layer}'.*layer1, layer2, layer3"):
        cnn_extractor(RESNET18, weights, ("layer2", layer))


@pytest.mark.parametrize("layer", ["fc", "flatten"])
def test_a_layer_without_positions_is_an_error(tmp_path: Path, state: State, layer: str) -> None:
    torch.save(state, tmp_path / "full.pth")
    with pytest.raises(UserError, match=rf"model\.layers: '{layer}' of resnet18 keeps no positions"):
        cnn_extractor(RESNET18, tmp_path / "full.pth", ("layer2", layer))
