"""Exchange tasks and answers with a contender as JSON, one process for each task, so that peaks of memory are separate.

A contender is a script whose tasks are functions: ``coreset``, ``fit`` and ``inspect``. This module imports nothing of
this project, so that the script of a peer runs in a Python that has the peer only.
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
    """Read a task and its values from standard input, run it, and print the result as the last line."""
    request = json.load(sys.stdin)
    imported = peak_bytes()
    result = tasks[request.pop("task")](**request)
    print(json.dumps({**result, "peak_bytes": peak_bytes(), "imported_bytes": imported, "versions": versions}))


def peak_bytes() -> int:
    """Return the peak memory of this process in bytes, including resident pages of mapped files."""
    status = Path("/proc/self/status")
    if status.is_file():
        # getrusage would report at least the memory that the parent held when it started this process.
        return next(1024 * int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
