"""Clumps of touching parts: which known outlines they consist of, on drawn shapes whose kinds are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fastener.models.shape.clumps import Clump, Moulds, shared
from fastener.models.shape.division import Item
from fastener.models.shape.kinds import Kit
from fastener.models.shape.outline import contour, outline_of

DISC, HEXAGON, BAR = range(3)
SIZES = (40.0, 42.0, 50.0)  # square roots of the areas, in photo pixels


def polygon(kind: int) -> np.ndarray:
    """Corners of a shape of area 1, complex."""
    if kind == BAR:
        return np.array([1 + 0.25j, -1 + 0.25j, -1 - 0.25j, 1 - 0.25j])
    corners = 90 if kind == DISC else 6
    area = corners / 2 * np.sin(2 * np.pi / corners)
    return np.asarray(np.exp(2j * np.pi * np.arange(corners) / corners) / np.sqrt(area))


def drawn(*parts: tuple[int, float, complex], zoom: float = 1.0) -> np.ndarray:
    """Draw shapes of (kind, angle, centre in photo pixels): uint8 (h, w)."""
    mask = np.zeros((round(200 * zoom),) * 2, np.uint8)
    for kind, angle, centre in parts:
        points = (polygon(kind) * SIZES[kind] * np.exp(1j * angle) + centre) * zoom
        cv2.fillPoly(mask, [np.rint(np.stack([points.real, points.imag], axis=-1)).astype(np.int32)], 1)
    return mask


@pytest.fixture(scope="module")
def moulds() -> Moulds:
    masks = [drawn((kind, 0.3, 100 + 100j)) for kind in (DISC, HEXAGON, BAR)]
    curves = [outline_of(contour(mask.astype(np.float32))).curve for mask in masks]
    return Moulds(list(zip(curves, SIZES, strict=True)))


SCENES = {
    (DISC, HEXAGON): ((DISC, 0.0, 60 + 100j), (HEXAGON, 0.2, 103 + 100j)),
    (HEXAGON, HEXAGON): ((HEXAGON, 0.5, 60 + 100j), (HEXAGON, 0.4, 104 + 104j)),
    (DISC, BAR): ((BAR, 0.7, 70 + 70j), (DISC, 0.0, 106 + 58j)),
    (HEXAGON, BAR): ((BAR, 1.2, 70 + 70j), (HEXAGON, 0.1, 107 + 62j)),
    (DISC, DISC, BAR): ((BAR, 0.0, 100 + 100j), (DISC, 0.0, 80 + 65j), (DISC, 0.0, 125 + 135j)),
}


@pytest.mark.parametrize("kinds", SCENES)
@pytest.mark.parametrize("zoom", [0.7, 1.3])
def test_a_clump_is_explained_by_the_parts_in_it(moulds: Moulds, kinds: tuple[int, ...], zoom: float) -> None:
    mask = drawn(*SCENES[kinds], zoom=zoom)
    assert cv2.connectedComponents(mask)[0] == 2
    best, *others = moulds.explain(Clump(1, 2 * mask, zoom))
    assert best.kinds == kinds
    assert best.misfit < 0.25
    assert all(other.misfit > best.misfit for other in others)


def test_a_bay_that_may_be_ground_needs_no_part_and_costs_nothing(moulds: Moulds) -> None:
    scene = ((BAR, 0.0, 80 + 80j), (BAR, 0.35, 82 + 112j))
    mask = drawn(*scene)
    filled = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((41, 41), np.uint8))
    open_, shut = (moulds.explain(Clump(1, one, 1.0))[0] for one in (mask + filled, 2 * filled))
    assert open_.kinds == (BAR, BAR)
    assert open_.misfit < 0.25 < shut.misfit


def test_what_no_set_of_kinds_has_the_area_of_is_not_explained(moulds: Moulds) -> None:
    assert moulds.explain(Clump(1, 2 * drawn((DISC, 0.0, 60 + 100j), zoom=0.7), 1.0)) == []


def test_pieces_are_given_kinds_by_their_size() -> None:
    areas = np.array([3.0, 1.0, 2.0])
    assert shared((0, 1), (5.0, 9.0), areas) == [(1,), (0,)]
    assert shared((0, 1, 2), (5.0, 9.0), areas) == [(0, 1, 2), ()]


def item(mask: np.ndarray, number: int) -> Item:
    """Describe the only piece of a mask, as large as its outline."""
    outline = outline_of(contour(mask.astype(np.float32)))
    colour, words = np.array([50.0, 0, 0]), np.empty(0)
    return Item(
        outline.curve[::2], float(np.log(outline.size)), 0.0, False, colour, words, clump=Clump(number, 2 * mask, 1.0)
    )


def test_a_swapped_part_is_seen_in_a_clump_of_the_same_area() -> None:
    rng = np.random.default_rng(0)
    kit = Kit()
    # Whole kits: two discs, a hexagon and a bar.
    kit.fit(
        [
            [item(drawn((kind, rng.uniform(0, 6), 100 + 100j)), i) for i, kind in enumerate((0, 0, 1, 2))]
            for _ in range(12)
        ]
    )
    alone = [item(drawn((DISC, 0.0, 100 + 100j)), 1)]
    whole, swapped = (
        kit.tally([*alone, item(drawn(*SCENES[kinds]), 2), item(drawn((DISC, 0.0, 90 + 90j)), 3)])
        for kinds in ((HEXAGON, BAR), (DISC, BAR))
    )
    assert (whole.score, whole.odd) == (0, ())
    assert swapped.score == 2
    assert 1 in swapped.odd
