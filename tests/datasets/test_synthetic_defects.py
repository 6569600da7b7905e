"""Synthetic defects lie where their mask says, show, repeat with the seed, and refuse what they cannot be drawn on."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastener.common.errors import UserError
from fastener.datasets.synthetic.covers import perlin_noise
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
@given(seed=st.integers(0, 2**32), kind=st.sampled_from([kind for kind in KINDS if kind not in ("dent", "edge chip")]))
def test_all_but_dents_and_chips_stay_on_the_part(seed: int, kind: str) -> None:
    assert not (add_defect(PART.image, PART.part_mask, seed, kind=kind).mask & ~PART.part_mask).any()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_dents_are_small_round_spots_that_begin_on_the_part(seed: int) -> None:
    mask = add_defect(PART.image, PART.part_mask, seed, kind="dent").mask
    rows, columns = np.nonzero(mask)
    widest = 2 * 0.08 * min(mask.shape) + 1
    assert max(np.ptp(rows), np.ptp(columns)) <= widest


DISC = cv2.circle(np.zeros((160, 160), np.uint8), (80, 80), 50, 1, -1) > 0


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_chip_is_gone_from_the_outline_and_shows_the_background_beside_it(seed: int) -> None:
    """A light disc on a ground that brightens to the right by a grey level every eight pixels."""
    ground = np.repeat(np.broadcast_to(60 + np.arange(160) // 8, (160, 160))[..., None], 3, 2)
    photo = np.where(DISC[..., None], 200, ground).astype(np.uint8)
    # A mask that ends inside the outline, as masks do that were shrunk, leaves no rim of the part.
    inner = cv2.erode(DISC.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    for part in (DISC, inner):
        made = add_defect(photo, part, seed, kind="edge chip")
        left = DISC & ~made.mask
        assert cv2.connectedComponents((~left).astype(np.uint8))[0] == 2, "the piece is open to the ground"
        deep = cv2.erode(made.mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        assert made.image[deep & DISC].max(initial=0) <= 80 + 3  # a narrow chip has no depth
        assert not (made.mask & ~(cv2.dilate(DISC.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0)).any()


def test_a_part_that_fills_the_photo_is_chipped_at_its_border() -> None:
    photo = np.full((120, 160, 3), 150, np.uint8)
    for seed in range(5):
        made = add_defect(photo, np.ones((120, 160), bool), seed, kind="edge chip")
        frame = np.r_[made.mask[0], made.mask[-1], made.mask[:, 0], made.mask[:, -1]]
        assert frame.any()
        assert made.image[made.mask].min() == 75, "half as bright as the darkest of the photo"


def test_a_texture_patch_is_of_the_part_and_not_of_the_ground() -> None:
    """Grain of 150 to 250 on a black ground: an upright part of a third of the photo has room for a patch."""
    grain = np.random.default_rng(0).integers(150, 250, (200, 200, 1), np.uint8).repeat(3, 2)
    part = np.zeros((200, 200), bool)
    part[:, 70:130] = True
    photo = np.where(part[..., None], grain, 0).astype(np.uint8)
    dark = [(add_defect(photo, part, seed, kind="texture patch").image[part] < 140).mean() for seed in range(8)]
    assert np.median(dark) == 0


def test_perlin_noise_is_smooth_and_zero_at_the_corners_of_its_cells() -> None:
    noise = perlin_noise(64, 4, np.random.default_rng(0))
    np.testing.assert_allclose(noise[::16, ::16], 0, atol=1e-12)
    assert np.abs(np.diff(noise, axis=0)).max() < 0.2
    assert 0.3 < np.abs(noise).max() <= np.sqrt(0.5)


def test_a_perlin_blend_falls_into_islands() -> None:
    counts = [
        cv2.connectedComponents(add_defect(PART.image, PART.part_mask, seed, "Perlin blend").mask.astype(np.uint8))[0]
        for seed in range(12)
    ]
    assert np.median(counts) - 1 >= 2


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
