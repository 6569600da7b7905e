"""Models of a single photo, and what models of very few photos say of themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fastener import Inspector
from fastener.common.errors import UserError
from fastener.datasets.synthetic.parts import render_part
from fastener.inspection import few_photos
from fastener.inspection.one_photo import DISTURBANCES, disturb
from fastener.inspection.result import Inspection

SETTINGS: dict[str, Any] = {"model__backbone": "filters", "preprocess__size": 64}


def nut(seed: int, defect: str = "none") -> np.ndarray:
    return render_part(seed, "nut", "silver", defect, size=(64, 64), background="white").image


@pytest.fixture(scope="module")
def of_one() -> tuple[Inspector, list[str]]:
    said: list[str] = []
    return Inspector.fit(nut(0), warn=said.append, **SETTINGS), said


def test_one_photo_is_enough_and_said_to_be_a_guess(of_one: tuple[Inspector, list[str]]) -> None:
    inspector, said = of_one
    assert np.isfinite(inspector.threshold)
    assert any("a guess from disturbed copies" in line for line in said)
    description = inspector.describe()
    assert description.startswith("1 healthy photo, ")
    assert "the threshold is a guess" in description
    assert "1 photo is few" in description
    # Nothing is said that copies cannot vouch for, nor of copies that nobody can look at.
    assert not [words for words in ("flags at most", "vouch", "too odd") if words in description]
    assert len(said) == 1
    assert inspector.new_photos_ == 1
    good, rusty = inspector.inspect([nut(0), nut(0, "rust")])
    assert isinstance(good, Inspection)
    assert isinstance(rusty, Inspection)
    assert not good.is_anomalous
    assert rusty.is_anomalous


def test_copies_of_one_photo_count_as_one() -> None:
    said: list[str] = []
    inspector = Inspector.fit([nut(0)] * 3, warn=said.append, **SETTINGS)
    assert inspector.training.n_photos == 3
    assert inspector.training.n_different == 1
    assert any("a guess" in line for line in said)


def test_guess_is_saved_and_outlives_more_photos(of_one: tuple[Inspector, list[str]], tmp_path: Path) -> None:
    of_one[0].save(tmp_path / "one.pkl")
    loaded = Inspector.load(tmp_path / "one.pkl")
    assert loaded.describe() == of_one[0].describe()
    assert loaded.training.disturbed == len(DISTURBANCES)
    loaded.partial_fit([nut(3), nut(4)])
    assert loaded.training.n_photos == 3
    assert loaded.report is not None
    assert any("a guess" in line for line in loaded.report.lines())


def test_none_and_unreadable_photos_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no healthy photos"):
        Inspector.fit([], **SETTINGS)
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"broken\.png"):
        Inspector.fit([tmp_path / "broken.png"], **SETTINGS)


def test_one_group_of_photos_is_an_error() -> None:
    with pytest.raises(UserError, match="at least two different"):
        Inspector.fit([nut(0), nut(1)], groups=[0, 0], **SETTINGS)


def test_names_of_disturbed_copies_tell_the_photo(tmp_path: Path) -> None:
    Image.fromarray(nut(0)).save(tmp_path / "nut 1.png")
    inspector = Inspector.fit(tmp_path / "nut 1.png", warn=lambda line: None, **SETTINGS)
    assert inspector.training.names[:2] == ("nut 1.png", "nut 1.png, darker")


def test_two_to_five_photos_say_what_they_are_worth() -> None:
    for count in range(2, 6):
        (line,) = few_photos.lines(count)
        assert line.startswith(f"{count} photos are few")
    assert not few_photos.lines(6)


def test_disturbed_copies_differ_from_the_photo_and_are_repeatable() -> None:
    photo = nut(0)
    copies = disturb(photo)
    assert len(copies) == len(DISTURBANCES)
    for one, again in zip(copies, disturb(photo), strict=True):
        assert one.shape == photo.shape
        assert one.dtype == np.uint8
        assert (one == again).all()
        assert (one != photo).any()
