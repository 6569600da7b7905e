"""Faces of the ground's colour: kept where an edge closes them, left where the ground comes in."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fastener.datasets.synthetic.parts import render_part
from fastener.preprocessing.segmentation import find_part


def _scene(level: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw a dark bracket round a square of the ground's colour, or of nearly that colour, open to the right."""
    rng = np.random.default_rng(0)
    photo = np.full((240, 240), 225.0)
    cv2.rectangle(photo, (60, 60), (150, 180), 90.0, cv2.FILLED)
    cv2.rectangle(photo, (110, 100), (150, 140), level, cv2.FILLED)
    photo = cv2.GaussianBlur(photo, (0, 0), 0.7) + rng.normal(0, 0.8, photo.shape)
    face = np.zeros(photo.shape, bool)
    face[104:137, 114:147] = True
    return np.dstack([np.clip(np.rint(photo), 0, 255).astype(np.uint8)] * 3), face


@pytest.mark.parametrize(("level", "kept"), [(225.0, False), (233.0, True)])
def test_a_face_of_the_grounds_colour_is_part_where_an_edge_closes_it(level: float, kept: bool) -> None:
    photo, face = _scene(level)
    assert bool(find_part(photo).mask[face].mean() > 0.9) is kept


# The last two have faces that the part encloses but for one side, and their own shadow's end there is nearly as sharp.
@pytest.mark.parametrize(
    ("seed", "finish", "tilt"),
    [
        (7_000_066, "grey", None),
        (7_000_072, "silver", None),
        (4_471_000_145, "silver", 6.85),
        (4_471_000_271, "silver", 7.08),
    ],
)
def test_rendered_heads_keep_their_bright_face(seed: int, finish: str, tilt: float | None) -> None:
    part = render_part(seed, "bolt", finish, background="white", tilt_deg=tilt)
    found = find_part(part.image).mask
    assert np.count_nonzero(found & part.part_mask) / np.count_nonzero(found | part.part_mask) > 0.93
