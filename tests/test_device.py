"""Choice of device and precision, with CUDA present and absent."""

from __future__ import annotations

import pytest
import torch

from errors import UserError
from models.device import resolve_device, resolve_dtype

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def pretend_cuda(monkeypatch: pytest.MonkeyPatch, devices: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: devices > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)


@pytest.mark.parametrize("name", ["auto", "cpu"])
def test_without_cuda_the_cpu_computes(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    pretend_cuda(monkeypatch, 0)
    assert resolve_device(name) == CPU


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7"])
def test_named_cuda_without_cuda_is_an_error(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    pretend_cuda(monkeypatch, 0)
    with pytest.raises(UserError, match=rf"^--device {name}: .*verify_setup\.py.*--device cpu$"):
        resolve_device(name)


@pytest.mark.parametrize(
    ("name", "expected"), [("auto", "cuda"), ("cuda", "cuda"), ("cuda:0", "cuda:0"), ("cuda:1", "cuda:1")]
)
def test_with_two_gpus(monkeypatch: pytest.MonkeyPatch, name: str, expected: str) -> None:
    pretend_cuda(monkeypatch, 2)
    assert resolve_device(name) == torch.device(expected)
    assert resolve_device("cpu") == CPU


@pytest.mark.parametrize("name", ["cuda:2", "cuda:7"])
def test_a_gpu_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    pretend_cuda(monkeypatch, 2)
    with pytest.raises(UserError, match=rf"^--device {name}: this machine has 2 CUDA device"):
        resolve_device(name)


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [
        ("auto", CPU, torch.float32),
        ("float32", CPU, torch.float32),
        ("half", CPU, torch.bfloat16),
        ("auto", CUDA, torch.float16),
        ("float32", CUDA, torch.float32),
        ("half", CUDA, torch.float16),
    ],
)
def test_precision(precision: str, device: torch.device, expected: torch.dtype) -> None:
    assert resolve_dtype(precision, device) == expected
