"""Measure the peak performance of this machine by a large matrix product and a large copy."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from fastener.evaluation.runtime import processor

_SIDE = 3072  # of the square matrices; larger ones are no faster
_COPIED = 2**28  # bytes; no cache holds them
_ROUNDS = 7


@dataclass(frozen=True)
class Machine:
    """Peak performance of a device in float32.

    Attributes
    ----------
    device : str
        Name of the processor or GPU.
    threads : int
        Number of threads of torch.
    flops : float
        Floating point operations per second in a matrix product.
    bandwidth : float
        Bytes per second read and written in a copy.
    """

    device: str
    threads: int
    flops: float
    bandwidth: float

    def least_seconds(self, flop: float, moved: float = 0.0) -> float:
        """Compute the shortest possible time in seconds to do ``flop`` operations and move ``moved`` bytes."""
        return max(flop / self.flops, moved / self.bandwidth)

    def beside(self, seconds: float, flop: float, moved: float = 0.0) -> dict[str, float | None]:
        """Compare a time with the physical limit: the limit in seconds, and their ratio (None if the limit is 0)."""
        limit = self.least_seconds(flop, moved)
        return {"limit_s": limit, "times_limit": seconds / limit if limit else None}

    def describe(self) -> str:
        """Describe the machine in one line."""
        return (
            f"{self.device}, {self.threads} threads: {self.flops / 1e9:.0f} GFLOP/s in a matrix product of {_SIDE} x "
            f"{_SIDE}, {self.bandwidth / 1e9:.1f} GB/s read and written in a copy of {_COPIED / 2**20:.0f} MiB"
        )

    def as_dict(self) -> dict[str, Any]:
        """Convert to a dict for JSON."""
        return asdict(self)


def measure_machine(device: str = "cpu", side: int = _SIDE, copied: int = _COPIED) -> Machine:
    """Measure several rounds and keep the best one, because other programs can only slow a round down."""
    where = torch.device(device)
    left, right = (torch.rand((side, side), device=where) for _ in range(2))
    product = torch.empty_like(left)
    source = torch.ones(copied // 4, device=where)
    target = torch.empty_like(source)
    multiply = _best(lambda: torch.mm(left, right, out=product), where)
    copy = _best(lambda: target.copy_(source), where)
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else processor()
    return Machine(name, torch.get_num_threads(), 2 * side**3 / multiply, 2 * copied / copy)


def _best(work: Callable[[], object], device: torch.device) -> float:
    taken = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - start)
    return min(taken)
