"""The examples in docstrings do what they say."""

from __future__ import annotations

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest
from data_factory import ROOT

# Rooms of the library, and the modules at the root; what is ignored by git is not searched.
FOLDERS = {path.parent for path in ROOT.glob("*/__init__.py")} - {ROOT / "benchmarks"}
FILES = [*ROOT.glob("*.py"), *(path for folder in FOLDERS for path in folder.rglob("*.py"))]
WITH_EXAMPLES = sorted(path for path in FILES if re.search(r"^ *>>> ", path.read_text(encoding="utf-8"), re.MULTILINE))
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_run_as_written(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(parts) if parts[0] == "fastener" else ".".join(("fastener", *parts))
    module = import_module(name.removesuffix(".__init__"))
    monkeypatch.chdir(tmp_path)
    done = doctest.testmod(module, optionflags=OPTIONS)
    assert done.attempted > 0
    assert done.failed == 0
