"""Sharp edges against drawn outlines whose place is known."""

from __future__ import annotations

import cv2
import numpy as np

from fastener.preprocessing.edges import sharp_edges


def grey(lightness: np.ndarray, noise: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """CIELab of a picture of that lightness (H, W) with a little noise, and its left and right border as ground."""
    lab = np.zeros((*lightness.shape, 3), np.float32)
    lab[..., 0] = lightness
    lab += np.float32(noise) * np.random.default_rng(0).standard_normal(lab.shape, np.float32)
    ground = np.zeros(lightness.shape, bool)
    ground[:, :6] = ground[:, -6:] = True
    return lab, ground


def square(level: float) -> np.ndarray:
    lightness = np.full((100, 100), 80.0)
    lightness[30:70, 30:70] = level
    return lightness


def test_the_outline_of_a_square_is_found_within_a_pixel_and_nothing_else() -> None:
    edges = sharp_edges(*grey(square(60.0)))
    outline = np.zeros((100, 100), np.uint8)
    cv2.rectangle(outline, (30, 30), (69, 69), 1)
    near = cv2.dilate(outline, np.ones((3, 3), np.uint8)) > 0
    assert edges[near].sum() > 140
    assert not edges[~near].any()


def test_a_soft_shadow_as_dark_has_no_edge() -> None:
    assert not sharp_edges(*grey(cv2.GaussianBlur(square(60.0), (0, 0), 8.0))).any()


def test_an_edge_of_colour_alone_counts() -> None:
    lab, ground = grey(np.full((100, 100), 60.0))
    lab[:, 50:, 2] += 25.0
    assert sharp_edges(lab, ground)[5:-5, 48:52].any(axis=1).all()


def test_the_texture_of_the_ground_is_no_edge() -> None:
    """The same pattern is an edge on a smooth ground and none on a ground that is all of it."""
    stripes = 60.0 + 12.0 * (np.arange(100) // 10 % 2) + np.zeros((100, 1))
    lab, _ = grey(stripes)
    smooth = np.zeros((100, 100), bool)
    smooth[:, 2:8] = True
    assert sharp_edges(lab, smooth).any()
    assert not sharp_edges(lab, np.ones((100, 100), bool)).any()
