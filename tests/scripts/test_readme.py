"""README and the pages of docs/: flags and links exist, and the commands and lines that they show run as written."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from data_factory import ROOT, parts, run_inside, write_photos
from mvtec_factory import write_category

from fastener.datasets.synthetic.ct import write_ct_dataset
from fastener.inspection.writers import WRITERS

README = ROOT / "README.md"
PAGES = [README, ROOT / "INTERPRET.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# Pages whose commands need nothing but what ``home`` holds, in the order in which a user would type them.
TOURS = ["README.md", "docs/fasteners.md", "docs/corrosion.md", "docs/ct_slices.md", "docs/research.md"]
# Small pictures and no downloads; the commands themselves stay as they are.
SMALL = ("--set", "preprocess.size=64", "--set", "model.coreset_ratio=0.1", "--backbone", "filters")


def blocks(page: Path, language: str = "") -> list[str]:
    """Code blocks of a page that are marked with this language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return [block for marked, block in found if marked == language]


def commands(page: Path) -> list[list[str]]:
    """Words of every line of a code block that calls one of the scripts."""
    found = []
    for line in "".join(blocks(page)).splitlines():
        if re.match(r"\S*python \S+\.py\b", line):
            found.append(shlex.split(line.split(" #")[0])[1:])
    return found


COMMANDS = [(page.relative_to(ROOT).as_posix(), command) for page in PAGES for command in commands(page)]


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[f"{page}: {' '.join(words)}" for page, words in COMMANDS])
def test_every_flag_and_script_exists(page: str, command: list[str]) -> None:
    script, *words = command
    assert (ROOT / script).is_file()
    sources = [ROOT / script, *(ROOT / "commands").glob("*.py")]
    sources += (ROOT / "benchmarks").glob("*.py") if script == "benchmark.py" else []
    known = "".join(source.read_text() for source in sources)
    known += "".join(f'"--{name.replace("_", "-")}"' for name in WRITERS)
    for word in words:
        if word.startswith("--"):
            assert f'"{word}"' in known, f"{page}: {script} has no {word}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_index_lists_every_page() -> None:
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in index


def test_the_readme_is_a_front_door() -> None:
    assert len(README.read_text(encoding="utf-8").split()) <= 1200


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> Path:
    """All that the pages take for granted: photos of good parts, new ones, a labelled folder, a research folder."""
    folder = tmp_path_factory.mktemp("readme")
    write_photos(folder / "photos/good", parts(10))
    write_photos(folder / "photos/more", parts(3, 20))
    write_photos(folder / "photos/incoming", [*parts(2, 50), *parts(2, 60, "rust")])
    shutil.copytree(data_dir, folder / "data/mine")
    shutil.copytree(data_dir / "components", folder / "photos/components")
    shutil.copytree(ROOT / "configs", folder / "configs")
    write_ct_dataset(folder / "data/ct_good", good=2, cracked=0, slices=4)
    write_ct_dataset(folder / "data/ct", good=1, cracked=1, slices=8, seed=1)
    for name in ("screw", "nut"):
        write_category(folder / "mvtec" / name, n_train=6, n_good=3, n_defect=2)
    return folder


@pytest.mark.slow
def test_the_tours_run_in_the_order_written(home: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:
    monkeypatch.chdir(home)
    ran = 0
    for page, (script, *words) in ((page, words) for page, words in COMMANDS if page in TOURS):
        if "<" in " ".join(words) or script.startswith(("bench", "download_models", "start_app", "verify_setup")):
            continue  # these want real photos, a network, judge the machine, or never end
        if {"train-rf-detr", "infer-rf-detr", "infer-both", "--cluster"} & set(words):
            continue  # these want packages of their own, see test_rf_detr.py and tests/distributed
        # A saved model keeps its settings: only commands that train take others.
        trains = (script == "train.py" and "--update" not in words) or "--cross-validate" in words
        extra = list(SMALL) if trains else []
        if script == "anode_inspection.py":
            extra = ["--set", "backbone=filters", "--set", "resize_size=[64, 64]"]
        if script == "corrosion_analysis.py":
            extra = ["--set", "corrosion.frame=192"]
        if "autoencoder" in words:
            extra += ["--set", "autoencoder.epochs=2", "--set", "autoencoder.side=32"]
        done = run_inside(script, *words, *extra)
        assert done.returncode == 0, f"{page}: {script} {' '.join(words)}: {done.stderr}"
        ran += 1
    assert ran >= 15
    (shown,) = blocks(README, "json")
    written = json.loads((home / "outputs/inference/results.json").read_text())
    assert json.loads(shown).keys() == written[0].keys()
    assert (home / "results/results.json").is_file()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:only .* of synthetic defects")  # ten photos are few
def test_the_lines_of_python_run(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], one_thread: None
) -> None:
    monkeypatch.chdir(home)
    (lines,) = blocks(README, "python")
    exec(compile(lines, str(README), "exec"), {})
    assert "10 healthy photos" in capsys.readouterr().out
    assert (home / "saved_models/mine.pkl").is_file()
