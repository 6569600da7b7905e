"""Run the contenders of benchmarks/contenders, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from fastener.commands import cli
from fastener.common.errors import UserError
from fastener.models.runtime.weights import read_state_dict

_SCRIPTS = Path(__file__).parent / "contenders"
MEGABYTE = 2**20


@dataclass(frozen=True)
class Contender:
    """A script of benchmarks/contenders and the Python that runs it.

    Attributes
    ----------
    name : str
        Name in tables and errors.
    script : str
        File name in benchmarks/contenders.
    python : str
        Python executable.
    always : mapping
        Values that are sent with every task.
    tuned : bool
        Whether to set the environment variables that this project's scripts set for themselves, see commands/cli.py.
    """

    name: str
    script: str
    python: str = sys.executable
    always: Mapping[str, Any] = field(default_factory=dict)
    tuned: bool = False

    def ask(self, task: str, **values: Any) -> dict[str, Any]:
        """Run a task and return the JSON answer. Raises UserError with the last line of its output if it fails."""
        request = json.dumps({"task": task, **self.always, **values})
        try:
            done = subprocess.run(
                [self.python, str(_SCRIPTS / self.script)],
                input=request,
                capture_output=True,
                text=True,
                env={**plain_environment(), **(cli.ENVIRONMENT if self.tuned else {})},
            )
        except OSError as error:
            raise UserError(f"{self.name}: cannot run {self.python}: {error.strerror}") from None
        if done.returncode != 0:
            last = (done.stderr.strip() or "without an error message").splitlines()[-1]
            raise UserError(f"{self.name}: {task} ended with code {done.returncode}: {last[:300]}")
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return answer


def plain_environment() -> dict[str, str]:
    """Copy the environment without what this project's scripts set themselves, and the peers' do not."""
    return {name: value for name, value in os.environ.items() if name not in cli.ENVIRONMENT}


OURS = Contender("ours", "ours.py", tuned=True)


def as_torch_file(weights: Path, folder: Path) -> Path:
    """Convert weights to a .pth file in ``folder``; every contender reads this format."""
    target = folder / "resnet18.pth"
    torch.save(read_state_dict(weights), target)
    return target


def scratch() -> tempfile.TemporaryDirectory[str]:
    """Make a temporary folder for the files that contenders read and write."""
    return tempfile.TemporaryDirectory(prefix="benchmark-")
