"""Which device computes, and in which precision."""

from __future__ import annotations

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

    ``half`` on a CPU means bfloat16, which recent CPUs multiply in hardware. Half precision moves distances by up
    to 1 % of their value (asserted in tests/test_feature_extractor.py); a bank and its queries should share it.
    """
    if precision == "float32" or (precision == "auto" and device.type == "cpu"):
        return torch.float32
    return torch.float16 if device.type == "cuda" else torch.bfloat16
