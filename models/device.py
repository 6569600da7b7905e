"""Which device computes, and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from errors import UserError


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


def resolve_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Arithmetic of the backbone: float16 on CUDA unless float32 is asked for, float32 on a CPU for ``auto``.

    ``half`` on a CPU means bfloat16, which recent CPUs multiply in hardware. It moves distances between patches of a
    ResNet-18 with random weights by up to 1 % of their median, float16 by up to 0.1 % (asserted in
    tests/test_feature_extractor.py). With ImageNet weights on photos of parts 2 % and 0.5 % were measured, and on
    MobileNetV2 77 % and 3 %: it wants float32 on a CPU. A bank and its queries should share one precision.
    """
    if precision == "float32" or (precision == "auto" and device.type == "cpu"):
        return torch.float32
    return torch.float16 if device.type == "cuda" else torch.bfloat16


def repeatable() -> AbstractContextManager[None]:
    """cuDNN's exact and repeatable algorithms only; no effect on a CPU."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
