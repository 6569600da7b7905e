"""Deformed renders: recognisable amounts, exact masks, and errors that name what is allowed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fastener.common.errors import UserError
from fastener.datasets.synthetic.deformations import DEFORMATIONS
from fastener.datasets.synthetic.parts import render_part

SIZE = (160, 160)


def axes(mask: np.ndarray) -> float:
    """Ratio of the axes of the ellipse fitted to the outline of a mask."""
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    short, long = sorted(cv2.fitEllipse(max(found, key=cv2.contourArea))[1])
    return long / short


def middle_of_rows(mask: np.ndarray) -> np.ndarray:
    """Middle of each row that shows the part."""
    rows = [np.flatnonzero(row) for row in mask if row.any()]
    return np.array([(row[0] + row[-1]) / 2 for row in rows])


@pytest.mark.parametrize("kind", DEFORMATIONS)
def test_same_amount_same_bytes_and_a_mask_where_it_differs(kind: str) -> None:
    part = DEFORMATIONS[kind].parts[0]
    amount = DEFORMATIONS[kind].usual[1]
    one, again = (render_part(3, part, defect=kind, amount=amount, size=SIZE, background="white") for _ in range(2))
    sound = render_part(3, part, size=SIZE, background="white")
    assert np.array_equal(one.image, again.image)
    assert (one.defect, one.amount) == (kind, pytest.approx(amount))
    assert one.defect_mask.any()
    assert np.abs(one.image.astype(int) - sound.image).max() > 60
    assert sound.amount == 0


@pytest.mark.parametrize("kind", ["chipped corner", "stripped thread", "flattened thread", "missing thread"])
def test_the_mask_is_where_material_is_missing_or_too_much(kind: str) -> None:
    part = DEFORMATIONS[kind].parts[0]
    sound = render_part(4, part, size=SIZE)
    damaged = render_part(4, part, defect=kind, size=SIZE)
    changed = sound.part_mask ^ damaged.part_mask
    assert (damaged.defect_mask & changed).sum() > 0.5 * damaged.defect_mask.sum()
    assert damaged.defect_mask.sum() < 0.1 * sound.part_mask.sum()


def test_oval_has_the_axes_it_says() -> None:
    round_, oval = (
        render_part(2, "washer", defect=defect, amount=amount, tilt_deg=88)
        for defect, amount in (("none", None), ("oval", 12))
    )
    assert axes(round_.part_mask) == pytest.approx(1.0, abs=0.01)
    assert axes(oval.part_mask) == pytest.approx(1.12, abs=0.01)


@pytest.mark.parametrize("degrees", [5.0, 20.0])
def test_bend_has_the_angle_it_says(degrees: float) -> None:
    part = render_part(2, "bolt", defect="bend", amount=degrees, angle_deg=90, tilt_deg=12)
    middle = middle_of_rows(part.part_mask)
    n = len(middle)
    straight, bent = (
        np.polyfit(np.arange(b - a), middle[a:b], 1)[0] for a, b in ((n // 3, n // 2), (n * 7 // 10, n * 17 // 20))
    )
    turned = np.degrees(abs(np.arctan(bent) - np.arctan(straight)))
    assert turned == pytest.approx(degrees, abs=2.5)


def test_amounts_and_parts_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UserError, match=r"'oval' is no deformation of a bolt; use a washer"):
        render_part(1, "bolt", defect="oval")
    with pytest.raises(UserError, match=r"amount: 90 is out of range for 'bend'; use 0.5 to 60 degrees"):
        render_part(1, "bolt", defect="bend", amount=90)
    with pytest.raises(UserError, match="amount: has no meaning with defect 'rust'"):
        render_part(1, defect="rust", amount=4)
    with pytest.raises(UserError, match="tilt_deg: 0 is out of range"):
        render_part(1, tilt_deg=0)
