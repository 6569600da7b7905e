"""Frames without a part are told from parts, plain and rendered."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from data_factory import parts

from fastener.config import PreprocessSettings
from fastener.inspection.input_check import NO_PART, InputCheck, input_figures
from fastener.preprocessing.pipeline import Preprocessor

PLAIN = Preprocessor(PreprocessSettings(enabled=False, size=96))
PARTS = Preprocessor(PreprocessSettings(size=96))
RNG = np.random.default_rng(0)


def flat(level: int) -> np.ndarray:
    return np.full((96, 96, 3), level, np.uint8)


def learned(preprocessor: Preprocessor) -> InputCheck:
    prepared = [preprocessor(photo) for photo in parts(12)]
    return InputCheck.fit(np.stack([input_figures(one) for one in prepared]), [one.part_found for one in prepared])


def test_figures_of_a_chessboard_by_hand() -> None:
    tiles = np.kron(np.indices((4, 4)).sum(0) % 2, np.ones((32, 32))).astype(np.uint8) * 255
    figures = input_figures(Preprocessor(PreprocessSettings(enabled=False, size=128))(np.dstack([tiles] * 3)))
    assert figures[0] == pytest.approx(0.5)
    assert figures[1] == pytest.approx(np.log(0.5 + 1 / 255))


@pytest.mark.parametrize("preprocessor", [PLAIN, PARTS], ids=["plain", "parts"])
def test_new_parts_pass(preprocessor: Preprocessor) -> None:
    check = learned(preprocessor)
    assert [check.problem(preprocessor(photo)) for photo in parts(12, first=50)] == [""] * 12


@pytest.mark.parametrize(
    "frame",
    [
        *(flat(level) for level in (0, 60, 120, 128, 135, 200, 255)),
        np.clip(RNG.normal(120, 2, (96, 96, 3)), 0, 255).astype(np.uint8),
        np.repeat(np.linspace(40, 220, 96).astype(np.uint8)[None, :, None], 96, 0).repeat(3, 2),
        RNG.integers(0, 256, (96, 96, 3)).astype(np.uint8),
    ],
    ids=["black", "60", "120", "128", "135", "200", "white", "sensor noise", "gradient", "noise"],
)
@pytest.mark.parametrize("preprocessor", [PLAIN, PARTS], ids=["plain", "parts"])
def test_frames_without_a_part_are_named(preprocessor: Preprocessor, frame: np.ndarray) -> None:
    assert learned(preprocessor).problem(preprocessor(frame))


def test_part_is_expected_only_where_training_photos_show_one() -> None:
    prepared = PARTS(flat(128))
    figures = np.stack([input_figures(prepared)] * 3)
    assert InputCheck.fit(figures, [True] * 3).problem(prepared) == NO_PART
    assert InputCheck.fit(figures, [False] * 3).problem(prepared) == ""


def test_a_blurred_photo_is_named() -> None:
    check = learned(PLAIN)
    blurred = [cv2.GaussianBlur(photo, (0, 0), photo.shape[0] / 48) for photo in parts(4, first=50)]
    assert {check.problem(PLAIN(photo)) for photo in blurred} == {"far less sharp than every training photo"}


def test_size_is_the_share_of_the_photo_that_the_part_fills() -> None:
    photo = parts(1)[0]
    figures = input_figures(PARTS(photo))
    height, width = photo.shape[:2]
    small = cv2.copyMakeBorder(photo, height, height, width, width, cv2.BORDER_REPLICATE)
    assert input_figures(PARTS(small))[4] == pytest.approx(figures[4] - np.log(9), abs=0.1)
    check = learned(PARTS)
    assert check.problem(PARTS(small)) == "the part is far smaller in it than in every training photo"


def test_one_photo_allows_for_more_blur_than_many() -> None:
    blurred = PLAIN(cv2.GaussianBlur(parts(1)[0], (0, 0), 1.0))
    figures = input_figures(PLAIN(parts(1)[0]))[None]
    assert InputCheck.fit(figures, [True]).problem(blurred) == ""
    assert InputCheck.fit(figures.repeat(50, 0), [True] * 50).problem(blurred) != ""


def test_checks_of_earlier_versions_compare_the_figures_that_they_know() -> None:
    now = learned(PLAIN)
    old = {"low": now.low[:3].tolist(), "high": now.high[:3].tolist(), "expects_part": now.expects_part}
    check = InputCheck.from_state(old)
    photo = parts(1, first=50)[0]
    assert check.problem(PLAIN(photo)) == ""
    assert check.problem(PLAIN(flat(0))) == "far darker than every training photo"
    assert len(check.extended(input_figures(PLAIN(photo))[None]).low) == 3


def test_state_comes_back() -> None:
    check = learned(PLAIN)
    again = InputCheck.from_state(check.state())
    assert (again.low == check.low).all()
    assert (again.high == check.high).all()
    assert again.expects_part == check.expects_part
    assert again.photos == check.photos == 12
