"""Outlines by hand, and photos whose mask was cut among photos whose mask was not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from data_factory import parts

from fastener.config import PreprocessSettings
from fastener.inspection.outlines import odd_outlines, outline_figures
from fastener.preprocessing.pipeline import Prepared, Preprocessor

PREPROCESSOR = Preprocessor(PreprocessSettings(size=96))


def with_mask(mask: np.ndarray) -> Prepared:
    return replace(PREPROCESSOR(parts(1)[0]), mask=mask, part_found=True)


def test_figures_of_a_frame_with_a_hole() -> None:
    mask = np.zeros((100, 100), bool)
    mask[20:60, 10:90] = True
    mask[30:50, 30:50] = False
    area, solidity, elongation, holes = outline_figures(with_mask(mask))
    assert area == pytest.approx(np.log(0.32))
    assert solidity == pytest.approx(1, abs=0.05)
    assert elongation == pytest.approx(np.log(2), abs=0.05)
    assert holes == pytest.approx(400 / 3200)


@pytest.mark.parametrize("mask", [np.zeros((50, 50), bool), np.ones((50, 50), bool)], ids=["nothing", "everything"])
def test_mask_without_an_outline_has_no_figures(mask: np.ndarray) -> None:
    assert np.isnan(outline_figures(with_mask(mask))).all()


def test_cut_masks_are_listed_and_kinds_of_parts_are_not() -> None:
    prepared = [PREPROCESSOR(photo) for photo in parts(24)]  # bolts, nuts and washers
    figures = np.stack([outline_figures(one) for one in prepared])
    assert odd_outlines(figures, np.arange(24)).size == 0
    cut = prepared[6].mask.copy()
    cut[: cut.shape[0] // 2] = False
    figures[6] = outline_figures(replace(prepared[6], mask=cut))
    assert odd_outlines(figures, np.arange(24)).tolist() == [6]


def test_copies_do_not_vouch_for_one_another() -> None:
    figures = np.random.default_rng(0).normal(0, 0.01, (20, 4))
    figures[3] = figures[4] = 5.0
    assert odd_outlines(figures, [*range(4), 3, *range(5, 20)]).tolist() == [3, 4] or odd_outlines(
        figures, [*range(4), 3, *range(5, 20)]
    ).tolist() == [4, 3]


def test_few_photos_say_nothing() -> None:
    assert odd_outlines(np.eye(4), np.arange(4)).size == 0
