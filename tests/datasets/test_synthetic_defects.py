"""Synthetic defects lie where their mask says, show, repeat with the seed, and refuse what they cannot be drawn on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastener.common.errors import UserError
from fastener.datasets.synthetic.defects import KINDS, add_defect
from fastener.datasets.synthetic.parts import render_part

PART = render_part(3, "bolt", size=(256, 320))
KINDS_USED = st.sampled_from(list(KINDS))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), kind=KINDS_USED)
def test_only_the_masked_pixels_change_and_they_show(seed: int, kind: str) -> None:
    photo = PART.image.copy()
    made = add_defect(photo, PART.part_mask, seed, kind=kind)
    np.testing.assert_array_equal(photo, PART.image)
    np.testing.assert_array_equal(made.image[~made.mask], photo[~made.mask])
    assert made.kind == kind
    assert made.image.dtype == np.uint8
    assert made.mask.dtype == np.bool_
    changed = np.abs(made.image.astype(int) - photo).max(2)[made.mask]
    assert 4e-4 <= made.mask.mean() <= 0.05
    assert np.median(changed) > 5


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), kind=st.sampled_from([kind for kind in KINDS if kind != "dent"]))
def test_all_but_dents_stay_on_the_part(seed: int, kind: str) -> None:
    assert not (add_defect(PART.image, PART.part_mask, seed, kind=kind).mask & ~PART.part_mask).any()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_dents_are_small_round_spots_that_begin_on_the_part(seed: int) -> None:
    mask = add_defect(PART.image, PART.part_mask, seed, kind="dent").mask
    rows, columns = np.nonzero(mask)
    widest = 2 * 0.08 * min(mask.shape) + 1
    assert max(np.ptp(rows), np.ptp(columns)) <= widest


def test_same_seed_same_bytes_and_other_seeds_other_defects() -> None:
    first, again, other = (add_defect(PART.image, PART.part_mask, seed) for seed in (5, 5, 6))
    assert first.kind == again.kind
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.mask, again.mask)
    assert not np.array_equal(first.mask, other.mask)


def test_all_kinds_are_drawn() -> None:
    assert {add_defect(PART.image, PART.part_mask, seed).kind for seed in range(80)} == set(KINDS)


def test_a_scar_on_two_plain_halves_is_made_of_their_colours() -> None:
    photo = np.full((200, 200, 3), 60, np.uint8)
    photo[:, 100:] = 200
    part = np.zeros((200, 200), bool)
    part[40:160, 40:160] = True
    made = add_defect(photo, part, 1, kind="scar")
    inside = np.unique(made.image[made.mask])
    # One gain of 0.75 to 1.25 on 60 and 200, bilinear between the two; untouched pixels where gaps were closed.
    assert inside.min() >= 45
    assert inside.max() <= 250


def test_nothing_shows_on_an_even_part() -> None:
    photo = np.full((100, 100, 3), 90, np.uint8)
    with pytest.raises(UserError, match="no dent is visible on this photo in 50 attempts"):
        add_defect(photo, np.ones((100, 100), bool), 0, kind="dent")


@pytest.mark.parametrize("part", [np.zeros((256, 320), bool), np.ones((10, 10), bool)])
def test_an_empty_or_misshapen_part_is_refused(part: np.ndarray) -> None:
    with pytest.raises(UserError, match="part: expected a mask"):
        add_defect(PART.image, part, 0)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UserError, match="'rust' is not known; use one of scar, scratch, dent"):
        add_defect(PART.image, PART.part_mask, 0, kind="rust")
