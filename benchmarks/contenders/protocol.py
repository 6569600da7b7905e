"""How a contender is asked: one process a question, so that each peak of memory is its own; JSON in, JSON out.

A contender is a script whose tasks are functions: ``coreset``, ``fit`` and ``inspect``. Nothing of this project is
imported here, so that the script of a peer runs in a Python that knows the peer only.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Task = Callable[..., dict[str, Any]]


def answer(tasks: Mapping[str, Task], versions: str) -> None:
    """Do the task that is named on standard input, with the values there; print what came out as the last line."""
    request = json.load(sys.stdin)
    imported = peak_bytes()
    result = tasks[request.pop("task")](**request)
    print(json.dumps({**result, "peak_bytes": peak_bytes(), "imported_bytes": imported, "versions": versions}))


def peak_bytes() -> int:
    """The most memory this process ever held, in bytes: pages of mapped files count as long as they are held."""
    status = Path("/proc/self/status")
    if status.is_file():
        # What getrusage tells would not be less than what the parent held when it started this process.
        return next(1024 * int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
