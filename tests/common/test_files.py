"""Files appear whole or not at all."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from fastener.common.errors import UserError
from fastener.common.files import GrowingFile, check_writable, write_atomically


def test_old_leftovers_of_killed_runs_are_removed_and_nothing_else(tmp_path: Path) -> None:
    names = {
        ".model.pkl.71-140.tmp": 2,
        ".new\nline.png.7-8.tmp": 2,
        ".model.pkl.72-140.tmp": 0,
        ".mine.tmp": 2,
        "a.tmp": 2,
    }
    for name, days in names.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, time.time() - days * 24 * 60 * 60))
    write_atomically(tmp_path / "b.txt", "b")
    assert {path.name for path in tmp_path.iterdir()} == {".model.pkl.72-140.tmp", ".mine.tmp", "a.tmp", "b.txt"}


def test_a_file_that_nothing_was_written_to_does_not_replace_one(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("before")
    GrowingFile(tmp_path / "results.csv").close()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("results.csv", "before")]


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file" / "below.json", tmp_path, Path()):
        for attempt in (check_writable, GrowingFile, lambda p: write_atomically(p, "text")):
            with pytest.raises(UserError, match="cannot write"):
                attempt(path)
    assert (tmp_path / "file").read_text() == "x"
    check_writable(tmp_path / "new" / "model.pkl")
    assert list((tmp_path / "new").iterdir()) == []
