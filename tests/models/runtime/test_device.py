"""Choice of device and precision, with CUDA present and absent."""

from __future__ import annotations

import pytest
import torch

from fastener.common.errors import UserError
from fastener.config import RunSettings
from fastener.inspection.pretrained import decided, for_saved
from fastener.models.runtime.device import resolve_arithmetic, resolve_device

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
    ("precision", "runtime", "device", "expected", "dtype"),
    [
        ("auto", "auto", CPU, ("fp32", "torch"), torch.float32),
        ("auto", "onnx", CPU, ("fp32", "onnx"), torch.float32),
        ("bf16", "auto", CPU, ("bf16", "torch"), torch.bfloat16),
        ("int8", "auto", CPU, ("int8", "onnx"), torch.float32),
        ("auto", "auto", CUDA, ("fp16", "torch"), torch.float16),
        ("auto", "onnx", CUDA, ("fp32", "onnx"), torch.float32),
        ("fp32", "torch", CUDA, ("fp32", "torch"), torch.float32),
        ("bf16", "auto", CUDA, ("bf16", "torch"), torch.bfloat16),
        ("fp16", "auto", CUDA, ("fp16", "torch"), torch.float16),
    ],
)
def test_precision_and_runtime(
    precision: str, runtime: str, device: torch.device, expected: tuple[str, str], dtype: torch.dtype
) -> None:
    found = resolve_arithmetic(precision, runtime, device)
    assert (found.precision, found.runtime) == expected
    assert found.dtype == dtype


@pytest.mark.parametrize(
    ("precision", "runtime", "words"),
    [("int8", "torch", "ONNX Runtime"), ("bf16", "onnx", "fp32 or int8"), ("fp16", "auto", "needs a CUDA device")],
)
def test_what_does_not_go_together_is_an_error(precision: str, runtime: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        resolve_arithmetic(precision, runtime, CPU)


@pytest.mark.parametrize(
    ("asked", "saved", "device", "expected"),
    [
        ({}, {}, CPU, ("auto", "auto")),
        ({}, {"precision": "fp16"}, CPU, ("fp32", "auto")),
        ({}, {"precision": "fp16"}, CUDA, ("fp16", "auto")),
        ({"runtime": "onnx"}, {"precision": "fp16"}, CUDA, ("fp32", "onnx")),
        ({"precision": "fp32"}, {"precision": "fp16"}, CUDA, ("fp32", "auto")),
        ({}, {"precision": "bf16"}, CPU, ("bf16", "auto")),
        ({"precision": "int8"}, {"precision": "int8", "runtime": "onnx"}, CUDA, ("int8", "onnx")),
    ],
)
def test_a_saved_model_is_computed_as_it_was_learned(
    asked: dict[str, str], saved: dict[str, str], device: torch.device, expected: tuple[str, str]
) -> None:
    run = for_saved(RunSettings.model_validate(asked), RunSettings.model_validate(saved), device)
    assert (run.precision, run.runtime) == expected


@pytest.mark.parametrize(
    ("here", "there", "expected"), [(CPU, CUDA, "fp32"), (CUDA, CUDA, "fp16"), (CUDA, CPU, "fp32")]
)
def test_auto_is_decided_where_a_model_is_learned(here: torch.device, there: torch.device, expected: str) -> None:
    """A threshold learned in fp32 is not used in fp16, unless that is asked for; a CPU has no fp16."""
    assert for_saved(RunSettings(), decided(RunSettings(), here, "resnet18"), there).precision == expected
    assert decided(RunSettings(), here, "mobilenet_v2").precision == "fp32", "half precision moves its distances by 3 %"


@pytest.mark.parametrize(("asked", "saved"), [("bf16", "fp32"), ("int8", "auto"), ("fp32", "int8"), ("int8", "bf16")])
def test_a_bank_is_not_asked_in_another_precision(asked: str, saved: str) -> None:
    settings = [RunSettings.model_validate({"precision": name}) for name in (asked, saved)]
    with pytest.raises(UserError, match=rf"^--precision {asked}: .* make a model in {asked} with"):
        for_saved(settings[0], settings[1], CPU)
