"""Jobs of the scripts, each in a process of its own that can be killed at any moment."""

from __future__ import annotations

import csv
import importlib
import io
import json
import multiprocessing
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fastener.commands import cli
from fastener.models.runtime.storage import load_state

# As cli.run sets it, for which it is too late in a process that has torch already.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
TEMPORARY = re.compile(r"\..+\.tmp")
_WRITES = os.O_WRONLY | os.O_RDWR
# Forked from a process that has imported everything: a run takes as long as its work, not as torch's import.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        *(
            "fastener.commands.evaluating",
            "fastener.commands.inspecting",
            "fastener.commands.training",
            "fastener.inspection.inspector",
            "fastener.inspection.pictures",
            "fastener.evaluation.category_runs",
        ),
        *(
            "fastener.corrosion.report",
            "fastener.corrosion.analysis",
            "fastener.open_set.pipeline",
            "fastener.open_set.report",
            "kills",
        ),
    ]
)


@dataclass(frozen=True)
class Job:
    """A script with its arguments, and the folder that it writes to. Files named ``timed`` hold measured times."""

    script: str
    arguments: tuple[object, ...]
    output: Path
    timed: str = "nothing"

    def start(self, home: Path, die_at: int = 0, die_after: float = 0.0) -> BaseProcess:
        """Begin it in the folder ``home``; it kills itself ``die_after`` seconds into file operation ``die_at``."""
        words = [self.script, *map(str, self.arguments)]
        process = _FORKS.Process(target=_work, args=(words, home, self.output, die_at, die_after))
        process.start()
        return process

    def finish(self, home: Path) -> dict[str, bytes]:
        """Run it to its end, which must be a good one; the files that are there then."""
        process = self.start(home)
        process.join()
        assert process.exitcode == 0, (home / "log.txt").read_text()
        return files_in(self.output)


def files_in(folder: Path) -> dict[str, bytes]:
    """Every finished file below ``folder``, by its path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not TEMPORARY.fullmatch(path.name)
    }


def check_whole(path: Path) -> None:
    """Read a file to its end, by its ending."""
    if path.suffix in (".pkl", ".pt"):
        load_state(path)
    elif path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            assert all(archive[name] is not None for name in archive.files)
    elif path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".png":
        Image.open(path).load()
    elif path.suffix == ".pdf":
        assert path.read_bytes().rstrip().endswith(b"%%EOF")
    elif path.suffix == ".csv":
        text = path.read_text()
        assert text.endswith("\n")
        assert len({len(row) for row in csv.reader(io.StringIO(text))}) == 1
    else:
        assert path.suffix in (".md", ".txt", ".html"), path
        assert path.read_text().endswith("\n")


def _work(words: list[str], home: Path, output: Path, die_at: int, die_after: float) -> None:
    os.chdir(home)
    with Path("log.txt").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    if die_at:
        sys.addaudithook(_killer(str(output), die_at, die_after))
    sys.argv = words
    cli.run(importlib.import_module(words[0].removesuffix(".py")).main)


def _killer(folder: str, die_at: int, die_after: float) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that kills the process at, or soon after, operation ``die_at`` on files below ``folder``."""
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        changes = event in ("os.rename", "os.remove", "os.mkdir") or (event == "open" and arguments[2] & _WRITES)
        if changes and str(arguments[0]).startswith(folder):
            seen += 1
            if seen == die_at and die_after:
                threading.Timer(die_after, os.kill, (os.getpid(), signal.SIGKILL)).start()
            elif seen == die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook
