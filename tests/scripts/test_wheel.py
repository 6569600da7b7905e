"""The installed package: nothing but fastener lands in site-packages, and it decides as the clone does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from data_factory import FLAGS, ROOT, parts, script, write_photos

# Entry points that a user types; each of them must at least explain itself.
COMMANDS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
TRAIN_IN_PYTHON = """
import sys
from pathlib import Path
import fastener
assert Path(fastener.__file__).is_relative_to(sys.prefix), fastener.__file__
from fastener import Inspector, load_config
flags = {"preprocess.size": 64, "model.coreset_ratio": 0.1, "model.backbone": "filters", "run.device": "cpu"}
Inspector.fit(sorted(Path("good").iterdir()), load_config(flags=flags)).save(Path("python.pkl"))
"""
LOOK_AROUND = """
from sqlalchemy import inspect
from fastener import verify_setup
from fastener.console.app import create_app
from fastener.console.database import open_database, upgrade
history = open_database("sqlite:///history.db")
upgrade(history)
assert "inspections" in inspect(history).get_table_names()
assert {finding.state for finding in verify_setup.check_packages()} == {"ok"}
"""


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


class Environment:
    """A fresh virtual environment with the wheel; all other packages are seen through a path to this one."""

    def __init__(self, folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        self.bin = folder / "bin"
        (self.site,) = folder.glob("lib/python3*/site-packages")
        (self.site / "newest.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        self.before = names(self.site)

    def run(self, cwd: Path, program: str, *arguments: object) -> str:
        """Run one of its programs outside the clone and return what it printed."""
        command = [str(self.bin / program), *map(str, arguments)]
        hidden = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run(command, cwd=cwd, env=hidden, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    built = subprocess.run(build, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")
    environment = Environment(folder / "venv")
    environment.run(folder, "python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel)
    return environment


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside the clone with twelve good photos, and three good and three rusty ones to inspect."""
    folder = tmp_path_factory.mktemp("elsewhere")
    write_photos(folder / "good", parts(12))
    write_photos(folder / "incoming", [*parts(3, 50), *parts(3, 60, "rust")])
    return folder


def verdicts(results: Path) -> list[dict[str, Any]]:
    """The records of results.json without the time they took."""
    records = json.loads(results.read_text(encoding="utf-8"))
    assert len(records) == 6
    return [{key: value for key, value in record.items() if not key.endswith("ms")} for record in records]


def test_everything_that_can_be_imported_is_in_the_wheel() -> None:
    """A new package or script is named in pyproject.toml; only the demo, a job of the clone's, stays outside."""
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"fastener"}
    scripts = {path.name for path in ROOT.glob("*.py")} - {"demo.py"}
    assert set(wheel["wheel"]["only-include"]) == packages | scripts | {"configs"}


@pytest.mark.slow
def test_site_packages_gets_fastener_alone(installed: Environment) -> None:
    new = names(installed.site) - installed.before
    assert {name.split("-")[0] for name in new} == {"fastener"}
    inside = installed.site / "fastener"
    for name in (
        "configs/mvtec.yaml",
        "configs/open_set/default.yaml",
        "console/static/index.html",
        "console/migrations/versions/v0001_inspections.py",
        "corrosion/report.css",
        "corrosion/guide.html",
    ):
        assert (inside / name).is_file(), name
    assert not {"tests", "docs", "requirements.txt", "pyproject.toml"} & names(inside)


@pytest.mark.slow
def test_modules_find_their_files(installed: Environment, work: Path) -> None:
    installed.run(work, "python", "-c", LOOK_AROUND)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(installed: Environment, work: Path, command: str) -> None:
    assert installed.run(work, command, "--help").startswith(f"usage: {command}")


@pytest.mark.slow
def test_verdicts_are_those_of_the_clone(installed: Environment, work: Path) -> None:
    def inspect(model: str, output: str) -> Sequence[object]:
        return ("--dir", work / "incoming", "--model", work / model, "--output", work / output, "--json")

    trained = ("--images", work / "good", *FLAGS, "--output")
    assert script("train.py", *trained, work / "clone.pkl").returncode == 0
    assert script("inference.py", *inspect("clone.pkl", "clone")).returncode == 0
    installed.run(work, "fastener-train", *trained, work / "command.pkl")
    installed.run(work, "python", "-c", TRAIN_IN_PYTHON)
    expected = verdicts(work / "clone/results.json")
    assert {record["is_anomalous"] for record in expected} == {False, True}
    for model in ("clone", "command", "python"):
        installed.run(work, "fastener-inspect", *inspect(f"{model}.pkl", f"by_{model}"))
        assert verdicts(work / f"by_{model}/results.json") == expected, model


@pytest.mark.slow
def test_an_editable_install_runs_the_clone(work: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "venv")
    environment.run(work, "python", "-m", "pip", "install", "--quiet", "--no-deps", "--editable", ROOT)
    new = names(environment.site) - environment.before
    assert {name.split("-")[0] for name in new} == {"_fastener.pth", "fastener"}
    shown = environment.run(work, "python", "-c", "import fastener.train; print(fastener.train.__file__)")
    assert Path(shown.strip()) == ROOT / "train.py"
    assert environment.run(work, "fastener-train", "--help").startswith("usage: fastener-train")
