"""Which device computes, in which precision, by which library."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from fastener.common.errors import UserError


def resolve_device(name: str = "auto") -> torch.device:
    """``auto`` takes CUDA where it works, else the CPU. Raises UserError if a named CUDA device cannot be used."""
    if name == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda" if name == "auto" else name)
        if (device.index or 0) >= torch.cuda.device_count():
            raise UserError(
                f"--device {name}: this machine has {torch.cuda.device_count()} CUDA device(s), counted from 0"
            )
        return device
    if name == "auto":
        return torch.device("cpu")
    raise UserError(f"--device {name}: CUDA cannot be used here; run verify_setup.py to see why, or use --device cpu")


@dataclass(frozen=True)
class Arithmetic:
    """How a feature network is computed: ``precision`` is fp32, bf16, fp16 or int8, ``runtime`` is torch or onnx."""

    precision: str
    runtime: str

    @property
    def dtype(self) -> torch.dtype:
        """Of what goes into the network and comes out of it; int8 is inside it only."""
        return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision, torch.float32)


def resolve_arithmetic(precision: str, runtime: str, device: torch.device, half: bool = True) -> Arithmetic:
    """What the settings of a new model mean on ``device``; ``auto`` is fp16 on CUDA and fp32 on a CPU, by torch.

    Where a backbone is not for ``half`` precision, ``auto`` is fp32 everywhere.

    ``auto`` takes neither bf16 nor int8, although both are quicker on a CPU, because how much they cost depends on the
    network and on the CPU. bf16 moves distances between patches of a ResNet-18 with random weights by up to 1 % of
    their median, fp16 by up to 0.1 % (asserted in tests/test_feature_extractor.py). With ImageNet weights on photos of
    parts 2 % and 0.5 % were measured, and on MobileNetV2 77 % and 3 %: it wants fp32. ``export.py --precision auto``
    measures what int8 costs a model before it is chosen.

    Raises UserError for what does not go together.
    """
    if runtime == "auto":
        runtime = "onnx" if precision == "int8" else "torch"
    if precision == "auto":
        precision = "fp16" if half and device.type == "cuda" and runtime == "torch" else "fp32"
    if runtime == "torch" and precision == "int8":
        raise UserError("--precision int8 is computed by ONNX Runtime: leave out --runtime torch")
    if runtime == "onnx" and precision not in ("fp32", "int8"):
        raise UserError(
            f"--precision {precision}: ONNX Runtime (--runtime onnx, or an exported model) computes in fp32 or int8"
        )
    if precision == "fp16" and device.type == "cpu":
        raise UserError("--precision fp16 needs a CUDA device; on a CPU use fp32, bf16 or int8")
    return Arithmetic(precision, runtime)


def repeatable() -> AbstractContextManager[None]:
    """cuDNN's exact and repeatable algorithms only; no effect on a CPU."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
