"""The oddest training photos are found, drawn, and left out by name or by hand."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_factory import FLAGS, part, parts, run_inside, tiny_config, write_photos

from fastener.commands import reviewing
from fastener.common.errors import UserError
from fastener.datasets.images import read_image
from fastener.inspection.inspector import Inspector
from fastener.inspection.training_review import OddPhoto, inspect_unseen, oddest_photos, review_sheet


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve healthy parts, of which number 5 is rusty."""
    path = tmp_path_factory.mktemp("odd")
    photos = parts(12)
    photos[5] = part(5, "rust")
    write_photos(path, photos)
    return path


@pytest.fixture(scope="module")
def paths(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def fitted(paths: list[Path]) -> Inspector:
    return Inspector.fit(paths, tiny_config(), warn=lambda line: None)


def test_the_odd_photo_comes_first_and_is_scored_as_unseen(fitted: Inspector, paths: list[Path]) -> None:
    odd = oddest_photos(fitted)
    assert odd[0].places == (5,)
    assert odd[0].name == paths[5].name
    assert odd[0].left_out
    assert [one.score for one in odd] == sorted((one.score for one in odd), reverse=True)
    unseen = inspect_unseen(fitted, paths[5], int(fitted.training.left_out[5]))
    assert unseen.score == pytest.approx(odd[0].score, rel=0.2)
    assert unseen.score > fitted.threshold


def test_the_sheet_shows_them_all(fitted: Inspector, paths: list[Path]) -> None:
    sheet = review_sheet(fitted, oddest_photos(fitted, 4), paths)
    one = review_sheet(fitted, oddest_photos(fitted, 1), paths)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] == one.shape[1]
    assert sheet.shape[0] == 2 * one.shape[0]


def test_photos_with_odd_outlines_are_listed_however_low_they_score(fitted: Inspector) -> None:
    lowest = oddest_photos(fitted)[-1]
    assert fitted.report is not None
    marked = copy.copy(fitted)
    marked.report = replace(fitted.report, odd_outlines=(lowest.name,))
    one, other = oddest_photos(marked, 1)
    assert one.left_out
    assert other == replace(lowest, odd_outline=True)
    assert (one.remark, other.remark) == ("left out", "outline unlike all others")


def test_photos_are_dropped_by_name_or_path() -> None:
    photos = [Path("a/good/1.png"), Path("a/good/2.png"), Path("b/good/1.png")]
    assert reviewing.named(photos, [Path("2.png")]) == {photos[1]}
    assert reviewing.named(photos, [Path("b/good/1.png")]) == {photos[2]}
    with pytest.raises(UserError, match=r"1\.png fits 2 training photos"):
        reviewing.named(photos, [Path("1.png")])
    with pytest.raises(UserError, match=r"no training photo has this name; near: 2\.png"):
        reviewing.named(photos, [Path("22.png")])


def test_numbers_name_photos_and_their_copies() -> None:
    photos = [Path("a.png"), Path("copy of a.png"), Path("b.png")]
    odd = [OddPhoto("b.png", 9.0, (2,), True), OddPhoto("a.png", 2.0, (0, 1), False)]
    answers = iter(["x", "3", "2"])
    assert reviewing.chosen_by_hand(odd, photos, lambda question: next(answers)) == set(photos[:2])
    assert reviewing.chosen_by_hand(odd, photos, lambda question: "") == set()
    assert reviewing.chosen_by_hand(odd, photos) == set()  # there is no terminal


def test_training_without_a_photo(
    folder: Path, paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train = ("train.py", "--images", folder, *FLAGS, "--output", "m.pkl")
    done = run_inside(*train, "--review")
    assert done.returncode == 0, done.stderr
    assert f"{paths[5].name}  (left out)" in done.stdout
    assert "without a terminal, name them with --drop" in done.stdout
    assert read_image(reviewing.SHEET).shape[1] > 1000
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True})())
    monkeypatch.setattr("builtins.input", lambda question: "1")
    by_hand = run_inside(*train, "--review")
    assert "learning again without 1 photo(s)" in by_hand.stdout, by_hand.stderr
    assert by_hand.returncode == 0, by_hand.stderr
    by_name = run_inside(*train, "--drop", paths[5].name)
    assert "11 healthy photos" in by_hand.stdout
    assert by_hand.stdout[by_hand.stdout.index("11 healthy") :] == by_name.stdout
    assert "too odd" not in by_name.stdout
    wrong = run_inside(*train, "--drop", "nothing.png")
    assert wrong.returncode == 2
    assert "no training photo has this name" in wrong.stderr
    assert run_inside("train.py", "--update", "m.pkl", "--images", folder, "--review").returncode == 2


def test_a_sheet_that_cannot_be_written_costs_no_model(fitted: Inspector, paths: list[Path], tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    assert reviewing.write_sheet(fitted, paths, tmp_path / "taken" / "sheet.png")


def test_a_single_photo_has_no_sheet(paths: list[Path], tmp_path: Path) -> None:
    alone = Inspector.fit(paths[:1], tiny_config(), warn=lambda line: None)
    assert reviewing.write_sheet(alone, paths[:1], tmp_path / "sheet.png") == []
    assert not (tmp_path / "sheet.png").exists()
    assert reviewing.chosen_by_hand([], paths[:1]) == set()
