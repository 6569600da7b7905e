"""Every script of the root explains itself without loading torch, so that --help answers at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from data_factory import ROOT

SCRIPTS = sorted(path for path in ROOT.glob("*.py") if '__name__ == "__main__"' in path.read_text(encoding="utf-8"))
FORBID = """
import sys
class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision"):
            raise AssertionError(f"{name} was imported")
sys.meta_path.insert(0, Forbid())
"""


@pytest.fixture(scope="module")
def without_torch(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of a Python that cannot import torch."""
    folder = tmp_path_factory.mktemp("forbid")
    (folder / "sitecustomize.py").write_text(FORBID, encoding="utf-8")
    return {**os.environ, "PYTHONPATH": str(folder)}


def test_the_guard_itself_works(without_torch: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", "import torch"], env=without_torch, capture_output=True, text=True)
    assert "torch was imported" in done.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_help_needs_no_torch_and_writes_nothing(script: Path, without_torch: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, str(script), "--help"]
    done = subprocess.run(command, env=without_torch, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: {script.name}")
    assert list(tmp_path.iterdir()) == []


def test_all_scripts_are_known() -> None:
    assert {"train.py", "inference.py", "evaluate.py", "verify_setup.py", "download_models.py", "demo.py"} <= {
        path.name for path in SCRIPTS
    }
