"""The lists of packages: every one has a lower and an upper bound, and requirements/oldest.txt pins the lower ones."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from data_factory import ROOT

OLDEST = ROOT / "requirements/oldest.txt"
LISTS = [
    "requirements.txt",
    *sorted(f"requirements/{path.name}" for path in ROOT.glob("requirements/*.txt") if path != OLDEST),
]
BOUNDS = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)(\[[a-z]+\])?>=(?P<lower>[0-9.]+),<(?P<upper>[0-9.]+)( *;.*)?")


def packages(path: Path) -> list[str]:
    lines = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith("-r ")]


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


@pytest.mark.parametrize("name", LISTS)
def test_every_package_has_both_bounds(name: str) -> None:
    for line in packages(ROOT / name):
        found = BOUNDS.fullmatch(line)
        assert found, f"{name}: {line}"
        assert numbers(found["lower"]) < numbers(found["upper"]), f"{name}: {line}"


def test_the_oldest_are_the_lower_bounds() -> None:
    lower = {}
    for name in LISTS:
        for line in packages(ROOT / name):
            found = BOUNDS.fullmatch(line)
            assert found
            lower[found["name"]] = numbers(found["lower"])
    pinned = {name: numbers(version) for name, version in (line.split("==") for line in packages(OLDEST))}
    for name, version in pinned.items():
        least = lower[name]
        assert version[: len(least)] == least, name
    # Whatever the toolkit itself needs is pinned; of what only its tests need, what the core tests import.
    needed = {line for list_ in ("requirements.txt", "requirements/onnx.txt") for line in packages(ROOT / list_)}
    assert {line.split(">=")[0] for line in needed} <= pinned.keys()


def test_the_wheel_asks_for_the_same_packages() -> None:
    """pyproject.toml and the requirements files state each package once, with equal bounds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {"requirements.txt": project["dependencies"]}
    declared |= {f"requirements/{extra}.txt": lines for extra, lines in project["optional-dependencies"].items()}
    assert sorted(declared) == sorted(LISTS)
    for name, lines in declared.items():
        own = [line.replace("'", '"') for line in lines if not line.startswith("fastener[")]
        assert own == packages(ROOT / name), name
        # A file that reads another one stands for an extra that names it.
        read = re.findall(r"^-r (\w+)\.txt", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        assert [line for line in lines if line.startswith("fastener[")] == [f"fastener[{extra}]" for extra in read]
