"""How long one photo takes on this machine, and what the machine and its libraries are."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import fastener
from fastener.common.errors import UserError
from fastener.common.sampling import evenly
from fastener.evaluation.latency import measure_latency
from fastener.inspection.inspector import Inspector

_PHOTOS = 20
_TARGET_MS = 100.0
_PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "opencv-python-headless", "faiss-cpu")


def measured_runtime(inspector: Inspector, photos: Sequence[Path]) -> dict[str, Any]:
    """Inspect up to 20 of the photos one at a time; return percentiles in ms, the machine and the versions.

    Percentiles are None if a photo cannot be read.
    """
    chosen = [photos[i] for i in evenly(len(photos), _PHOTOS)]
    try:
        found = measure_latency(inspector, chosen, lambda one: None, warm_up=min(2, len(chosen))).summary(_TARGET_MS)
    except UserError:
        found = {}
    return {key: found.get(key) for key in ("n", "p50_ms", "p95_ms", "p99_ms")} | environment(inspector.device)


def environment(device: torch.device | None = None) -> dict[str, Any]:
    """Name processor, threads, device and versions."""
    on_gpu = device is not None and device.type == "cuda"
    return {
        "cpu": processor(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """List the versions of this toolkit, of Python and of the libraries that figures depend on."""
    found = {"fastener": fastener.__version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """Name the processor and its number of cores."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass
    return f"{name}, {os.cpu_count()} cores"
