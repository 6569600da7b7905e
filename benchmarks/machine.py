"""What this machine can do at most: a large matrix product and a large copy, measured."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

_SIDE = 3072  # of the square matrices; larger ones are no faster
_COPIED = 2**28  # bytes; no cache holds them
_ROUNDS = 7


@dataclass(frozen=True)
class Machine:
    """Peaks in float32: ``flops`` a second of a matrix product, ``bandwidth`` bytes a second read and written."""

    device: str
    threads: int
    flops: float
    bandwidth: float

    def least_seconds(self, flop: float, moved: float = 0.0) -> float:
        """The physical limit: no machine of these peaks does ``flop`` and moves ``moved`` bytes in less."""
        return max(flop / self.flops, moved / self.bandwidth)

    def beside(self, seconds: float, flop: float, moved: float = 0.0) -> dict[str, float | None]:
        """The limit in seconds, and how many times as long was taken: None where there is nothing to be computed."""
        limit = self.least_seconds(flop, moved)
        return {"limit_s": limit, "times_limit": seconds / limit if limit else None}

    def describe(self) -> str:
        """One line for a person."""
        return (
            f"{self.device}, {self.threads} threads: {self.flops / 1e9:.0f} GFLOP/s in a matrix product of {_SIDE} x "
            f"{_SIDE}, {self.bandwidth / 1e9:.1f} GB/s read and written in a copy of {_COPIED / 2**20:.0f} MiB"
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def measure_machine(device: str = "cpu", side: int = _SIDE, copied: int = _COPIED) -> Machine:
    """The best of several rounds: other work can only slow them down."""
    where = torch.device(device)
    left, right = (torch.rand((side, side), device=where) for _ in range(2))
    product = torch.empty_like(left)
    source = torch.ones(copied // 4, device=where)
    target = torch.empty_like(source)
    multiply = _best(lambda: torch.mm(left, right, out=product), where)
    copy = _best(lambda: target.copy_(source), where)
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else processor()
    return Machine(name, torch.get_num_threads(), 2 * side**3 / multiply, 2 * copied / copy)


def processor() -> str:
    """The processor as the system names it, and its number of cores."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass
    return f"{name}, {os.cpu_count()} cores"


def _best(work: Callable[[], object], device: torch.device) -> float:
    taken = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - start)
    return min(taken)
