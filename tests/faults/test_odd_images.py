"""A folder of everything that calls itself an image is finished, and each bad file is named with its reason."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from data_factory import ROOT, tiny_config
from limits import LONG
from odd_files import MANNERS, texture, write_mixed
from privileges import unprivileged

from fastener.common.errors import UserError
from fastener.datasets.images import list_images
from fastener.inspection.inspector import Inspector

pytestmark = pytest.mark.slow

COUNT = 5000 if LONG else 1000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = tiny_config(evidence=("filters",), preprocess={"enabled": False, "size": 32}, calibration={"alpha": 0.3})
    path = tmp_path_factory.mktemp("model") / "model.pkl"
    Inspector.fit([texture(seed) for seed in range(6)], config).save(path)
    return path


def inference(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*unprivileged(), sys.executable, str(ROOT / "inference.py"), *map(str, arguments), "--device", "cpu"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_a_large_folder_is_finished_and_each_bad_file_named(model: Path, tmp_path: Path) -> None:
    written = write_mixed(tmp_path / "in", COUNT)
    bad = {name: kind.reason for name, kind in written.items() if kind.reason}
    output = tmp_path / "out"
    done = inference("--model", model, "--dir", tmp_path / "in", "--json", "--csv", "--output", output)
    assert done.returncode == 1, done.stderr[-2000:]
    assert f"{len(bad)} could not be read" in done.stdout

    entries = {Path(entry["path"]).name: entry for entry in json.loads((output / "results.json").read_text())}
    assert entries.keys() == written.keys()
    for name, entry in entries.items():
        assert ("error" in entry) == (name in bad), entry
        assert bad.get(name, "") in entry.get("error", "")
    folders, *warnings = done.stderr.splitlines()
    assert "not used" in folders
    # What was read with a remark, such as the first of several frames, is no failure.
    warnings = [line for line in warnings if any(reason in line for reason in bad.values())]
    assert len(warnings) == len(bad)
    for line, (name, reason) in zip(warnings, sorted(bad.items()), strict=True):
        assert line.startswith("warning: ")
        assert line.isprintable()
        assert reason in line
        assert name.partition(" ")[0] in line
    with (output / "results.csv").open(newline="", encoding="utf-8-sig") as file:
        assert len(list(csv.DictReader(file))) == COUNT


def test_pictures_of_oddly_named_files(model: Path, tmp_path: Path) -> None:
    kinds = ("plain", "cmyk", "locked")
    written = write_mixed(tmp_path / "in", len(MANNERS) * len(kinds), kinds)
    output = tmp_path / "out"
    done = inference("--model", model, "--dir", tmp_path / "in", "--visualize", "--output", output)
    assert done.returncode == 1, done.stderr[-2000:]
    good = [name for name, kind in written.items() if not kind.reason]
    assert len(done.stdout.splitlines()) == len(good) + 1
    assert len(list(output.iterdir())) == 2 * len(good)


def test_a_locked_folder_is_named(tmp_path: Path) -> None:
    write_mixed(tmp_path / "in", 3)
    (tmp_path / "in" / "below").mkdir(mode=0)
    look = "import pathlib, sys; from datasets.images import list_images; list_images(pathlib.Path(sys.argv[1]))"
    command = [*unprivileged(), sys.executable, "-c", look, str(tmp_path / "in")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "UserError" in done.stderr
    assert "below: not allowed to read this folder" in done.stderr


def test_links_that_lead_nowhere_are_listed(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("nowhere.png")
    (tmp_path / "b.png").symlink_to("b.png")
    (tmp_path / "c.png").symlink_to(tmp_path)
    assert [path.name for path in list_images(tmp_path)] == ["a.png", "b.png"]
    (tmp_path / "in").mkdir()
    with pytest.raises(UserError, match="holds no image"):
        list_images(tmp_path / "in")
