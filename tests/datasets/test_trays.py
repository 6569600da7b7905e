"""Rendered trays: what changes, what stays, and that the masks tell where each part lies."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from fastener.common.errors import UserError
from fastener.datasets.synthetic.trays import CHANGES, draw_kit, render_tray

KIT = draw_kit(3)
WHOLE = Counter({i: part.count for i, part in enumerate(KIT)})


def test_kits_hold_6_to_12_parts_of_several_kinds() -> None:
    for seed in range(20):
        kit = draw_kit(seed)
        assert 6 <= sum(part.count for part in kit) <= 12
        assert len(kit) >= 3


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_what_its_name_says(change: str) -> None:
    tray = render_tray(KIT, seed=1, change=change)
    parts = Counter(tray.parts)
    lacking, too_many = WHOLE - parts, parts - WHOLE
    expected = {"none": (0, 0), "missing": (1, 0), "extra": (0, 1), "swapped": (1, 1)}[change]
    assert (lacking.total(), too_many.total()) == expected
    assert tray.changed.any() == (change != "none")
    assert len(tray.masks) == len(tray.parts)


def test_masks_lie_apart_and_on_parts() -> None:
    tray = render_tray(KIT, seed=2)
    assert np.sum(tray.masks, axis=0).max() == 1
    # The light falls off over the tray, but an empty place is plain, and a part has edges.
    corner = tray.image[-40:, -40:][~np.any(tray.masks, axis=0)[-40:, -40:]]
    assert all(tray.image[mask].std() > 2 * corner.std() for mask in tray.masks)


def test_touching_parts_touch_and_do_not_overlap() -> None:
    apart, touching = (render_tray(KIT, seed=4, touching=value) for value in (False, True))
    gaps = [
        min(np.linalg.norm(np.argwhere(tray.masks[1])[:, None] - np.argwhere(tray.masks[0])[::50], axis=2).min(), 1e3)
        for tray in (apart, touching)
    ]
    assert gaps[1] < gaps[0]
    assert not (touching.masks[0] & touching.masks[1]).any()


def test_the_same_seed_gives_the_same_bytes() -> None:
    one, other = render_tray(KIT, 5, "swapped"), render_tray(KIT, 5, "swapped")
    np.testing.assert_array_equal(one.image, other.image)


def test_unknown_changes_are_refused() -> None:
    with pytest.raises(UserError, match="'broken' is not known; use one of none, missing"):
        render_tray(KIT, 1, "broken")
