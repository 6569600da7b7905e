"""--cluster where Ray is missing or flags do not fit: one line that says what to do."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from data_factory import FLAGS, run_inside


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "ray" else real(name, package)

    monkeypatch.setattr("fastener.commands.cluster.find_spec", find_spec)


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize("script", ["train", "inference"])
def test_one_line_says_what_to_install(script: str, good_photos: list[Path], model_file: Path, tmp_path: Path) -> None:
    folder = good_photos[0].parent
    words = {
        "train": ("--images", folder, *FLAGS, "--output", tmp_path / "model.pkl"),
        "inference": ("--dir", folder, "--model", model_file, "--output", tmp_path),
    }[script]
    done = run_inside(f"{script}.py", *words, "--cluster", "auto")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: --cluster needs Ray, which is not installed: pip install -r requirements/cluster.txt"
    ]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("script", "words", "line"),
    [
        ("inference.py", ("--manifest", "list.txt"), "add --cluster auto"),
        ("inference.py", ("--dir", "s3://bucket/photos"), "add --cluster auto"),
        ("inference.py", ("--image", "a.png", "--cluster", "auto"), "name --dir or --manifest"),
        ("inference.py", ("--dir", "a", "--cluster", "auto", "--adaptive-threshold"), "leave out --cluster"),
        ("inference.py", ("--dir", "a", "--cluster", "auto", "--cores", "0"), "--cores"),
        ("inference.py", ("--dir", "a", "--cluster", "auto", "--ground-truth"), "leave out --ground-truth"),
        ("inference.py", ("--dir", "a", "--data-dir", "b"), "leave out --dir"),
        ("train.py", ("--data-dir", "a", "--mvtec-dir", "b"), "name one of them"),
        ("evaluate.py", ("--layout", "csv"), "name that folder"),
        ("train.py", ("--images", "a", "--update", "m.pkl", "--cluster", "auto"), "leave it out with --update"),
    ],
)
def test_flags_that_do_not_fit_are_refused(script: str, words: tuple[str, ...], line: str) -> None:
    done = run_inside(script, *words)
    assert done.returncode == 2
    assert line in done.stderr.splitlines()[-1]
