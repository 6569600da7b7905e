"""Masks without soft shadows: a shadow goes, bright faces and a part without ground stay."""

from __future__ import annotations

import cv2
import numpy as np

from fastener.preprocessing.shadows import without_shadows


def bolt() -> tuple[np.ndarray, np.ndarray]:
    """Photo of a dark T-shaped part with a soft shadow in the bay under its head, and the mask of the part itself."""
    part = np.zeros((160, 160), np.uint8)
    part[30:60, 40:120] = 1
    part[60:130, 68:92] = 1
    shadow = np.zeros((160, 160), np.float32)
    shadow[62:125, 85:106] = 70
    ground = 220 - cv2.GaussianBlur(shadow, (0, 0), 6)
    photo = np.where(part > 0, 70.0, ground)
    photo = cv2.GaussianBlur(photo, (0, 0), 0.7)[..., None].repeat(3, axis=2)
    return np.clip(photo, 0, 255).astype(np.uint8), part > 0


def test_a_shadow_is_taken_out() -> None:
    photo, part = bolt()
    mask = part | (photo[..., 0] < 195)
    assert (mask & ~part).sum() > 600
    found = without_shadows(photo, mask)
    assert (found & ~part).sum() < 0.3 * (mask & ~part).sum()
    assert (part & ~found).sum() < 0.02 * part.sum()


def test_a_bright_face_with_a_sharp_border_stays() -> None:
    photo, part = bolt()
    photo[31:58, 42:80] = 205
    found = without_shadows(photo, part)
    assert (part & ~found).sum() < 0.05 * part.sum()


def test_a_faint_face_that_reaches_the_outline_stays() -> None:
    photo, part = bolt()
    photo[30:60, 40:80] = 200
    found = without_shadows(cv2.GaussianBlur(photo, (0, 0), 0.7), part)
    assert (part & ~found).sum() < 0.05 * part.sum()


def test_a_soft_face_beyond_which_the_part_goes_on_stays() -> None:
    photo, part = bolt()
    face = np.linspace(0, 1, 30)
    photo[30:60, 60:90] = np.where(np.abs(face - 0.5) < 0.3, 205, 70)[None, :, None]
    photo[25:65, 55:95] = cv2.GaussianBlur(photo[25:65, 55:95], (0, 0), 3)
    found = without_shadows(photo, part)
    assert found[35:55, 95:115].all()
    assert found[35:55, 45:58].all()


def test_without_ground_or_part_the_mask_stays() -> None:
    photo, _ = bolt()
    for mask in (np.ones((160, 160), bool), np.zeros((160, 160), bool)):
        assert without_shadows(photo, mask) is mask
    one = np.zeros((160, 160), bool)
    one[80, 80] = True
    assert without_shadows(photo, one).sum() <= 1
