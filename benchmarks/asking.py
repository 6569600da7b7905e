"""Contenders are processes of their own, see benchmarks/contenders: here they are asked."""

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

from fastener.common.errors import UserError
from fastener.models.runtime.weights import read_state_dict

_SCRIPTS = Path(__file__).parent / "contenders"
MEGABYTE = 2**20


@dataclass(frozen=True)
class Contender:
    """``script`` of benchmarks/contenders, run by ``python``; ``always`` are values that go with every question.

    ``tuned``: with the environment that this project's scripts make for themselves, see cli.py.
    """

    name: str
    script: str
    python: str = sys.executable
    always: Mapping[str, Any] = field(default_factory=dict)
    tuned: bool = False

    def ask(self, task: str, **values: Any) -> dict[str, Any]:
        """What the process answered. Raises UserError, with its last words, if it failed."""
        request = json.dumps({"task": task, **self.always, **values})
        try:
            done = subprocess.run(
                [self.python, str(_SCRIPTS / self.script)],
                input=request,
                capture_output=True,
                text=True,
                env=self._environment(),
            )
        except OSError as error:
            raise UserError(f"{self.name}: cannot run {self.python}: {error.strerror}") from None
        if done.returncode != 0:
            last = (done.stderr.strip() or "nothing was said").splitlines()[-1]
            raise UserError(f"{self.name}: {task} ended with code {done.returncode}: {last[:300]}")
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return answer

    def _environment(self) -> dict[str, str]:
        """How idle threads wait is what the scripts of this project set for themselves, and for nobody else."""
        others = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
        return {**others, "OMP_WAIT_POLICY": "PASSIVE"} if self.tuned else others


OURS = Contender("ours", "ours.py", tuned=True)


def as_torch_file(weights: Path, folder: Path) -> Path:
    """The same weights as a .pth file, which every contender reads, in ``folder``."""
    target = folder / "resnet18.pth"
    torch.save(read_state_dict(weights), target)
    return target


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for what contenders are given and give back."""
    return tempfile.TemporaryDirectory(prefix="benchmark-")
