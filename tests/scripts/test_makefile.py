"""The Makefile and the demo's summary: what can be seen without installing anything."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from data_factory import ROOT

from fastener.datasets.labelled_image import LabelledImage
from fastener.demo import summary


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make on a copy of the Makefile in an empty folder."""
    program = shutil.which("make")
    assert program is not None
    shutil.copy(ROOT / "Makefile", folder)
    # Inside "make test" the flags of that make would be inherited, and change what this one prints.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.run([program, *arguments], cwd=folder, env=environment, capture_output=True, text=True)


def fake_python(folder: Path, body: str) -> Path:
    program = folder / "fake-python"
    program.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    program.chmod(0o755)
    return program


def test_plain_make_lists_the_targets(tmp_path: Path) -> None:
    done = make(tmp_path)
    assert done.returncode == 0
    assert [line.split()[1] for line in done.stdout.splitlines()] == [
        "help",
        "demo",
        "console",
        "quick",
        "test",
        "faults",
        "oldest",
        "detection",
        "cluster",
        "lint",
        "audit",
        "clean",
    ]


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("exit 1", "Python 3.11 or newer is needed"),
        ('case "$2" in *ensurepip*) exit 1;; esac', "apt install python3-venv"),
    ],
)
def test_unfit_python_is_one_clear_line(body: str, line: str, tmp_path: Path) -> None:
    for name in ("requirements.txt", "requirements/dev.txt"):
        touch(tmp_path / name)
    done = make(tmp_path, "test", f"PYTHON={fake_python(tmp_path, body)}")
    assert done.returncode != 0
    assert line in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_packages_are_installed_again_only_when_requirements_change(tmp_path: Path) -> None:
    for name in ("requirements.txt", "requirements/dev.txt", "demo.py"):
        touch(tmp_path / name)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    log = tmp_path / "calls"
    fake_python(tmp_path / ".venv" / "bin", f'echo "$*" >> {log}').rename(tmp_path / ".venv" / "bin" / "python")
    for _ in range(2):
        assert make(tmp_path, "test").returncode == 0
    calls = log.read_text(encoding="utf-8").splitlines()
    assert [("install" in call, "pytest" in call) for call in calls] == [(True, False), (False, True), (False, True)]
    # What the tests need includes what the demo needs.
    assert make(tmp_path, "demo").returncode == 0
    assert log.read_text(encoding="utf-8").splitlines()[3:] == ["demo.py"]
    stamp = (tmp_path / ".venv" / ".installed-dev").stat().st_mtime
    os.utime(tmp_path / "requirements.txt", (stamp + 5, stamp + 5))
    assert make(tmp_path, "demo").returncode == 0
    assert "install" in log.read_text(encoding="utf-8").splitlines()[4]


def test_clean_keeps_photos_models_and_packages(tmp_path: Path) -> None:
    kept = ["data/mine/a.png", "saved_models/mine.pkl", "outputs/inference/a.png", ".venv/lib/__pycache__/a.pyc"]
    made = ["data/demo/a.png", "saved_models/demo.pkl", "outputs/demo/a.png", "models/__pycache__/a.pyc"]
    for name in kept + made:
        touch(tmp_path / name)
    assert make(tmp_path, "clean").returncode == 0
    assert all((tmp_path / name).exists() for name in kept)
    assert not any((tmp_path / name).exists() for name in made)


def test_summary_counts_the_flagged_of_each_class() -> None:
    images = [
        LabelledImage(Path(f"{number}.png"), label != "Good", (label,))
        for number, label in enumerate(("Good", "Good", "Rust", "Rust", "Rust"))
    ]
    flagged = {"0.png": False, "1.png": True, "2.png": True, "3.png": True, "4.png": False}
    assert summary(images, flagged) == "Good: 1 of 2 flagged\nRust: 2 of 3 flagged"
