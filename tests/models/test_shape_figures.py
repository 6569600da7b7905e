"""Shapes drawn by formula: bend, thread, ovality, symmetry and holes come out as drawn, and kinds are told apart."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fastener.models.shape.axis import SECTIONS
from fastener.models.shape.figures import Shape, shape_of
from fastener.models.shape.healthy import CHECKS, HealthyShapes
from fastener.models.shape.outline import contour, distances, fits, laid, outline_of

SIDE, FINE = 256, 4


def filled(points: np.ndarray, holes: tuple[np.ndarray, ...] = ()) -> np.ndarray:
    """Cover of polygons, (n, 2) each, exact to a sixteenth of a pixel."""
    canvas = np.zeros((SIDE * FINE, SIDE * FINE), np.uint8)
    for at, value in ((points, 255), *((hole, 0) for hole in holes)):
        cv2.fillPoly(canvas, [np.rint(FINE * np.asarray(at) + FINE / 2 - 0.5).astype(np.int32)], value)
    return np.asarray(cv2.resize(canvas, (SIDE, SIDE), interpolation=cv2.INTER_AREA) / 255, np.float32)


def ellipse(a: float, b: float, degrees: float = 0, centre: tuple[float, float] = (128, 128)) -> np.ndarray:
    t, turn = np.linspace(0, 2 * np.pi, 400, endpoint=False), np.exp(1j * np.deg2rad(degrees))
    z = (a * np.cos(t) + 1j * b * np.sin(t)) * turn
    return np.stack([z.real, z.imag], axis=1) + centre


def screw(
    bend: float = 0, pitch: float = 12, depth: float = 4, bald: tuple[float, float] = (0, 0), spread: float = 0
) -> np.ndarray:
    """Head 60 wide and 40 long, ``spread`` wider at its end; shank 36 wide with a thread from root to crest.

    It is bent by degrees in the middle.
    """
    u = np.linspace(0, 170, 700)
    wave = np.where((u > bald[0]) & (u < bald[1]), -1.0, np.cos(2 * np.pi * u / pitch))
    right = 18 - depth / 2 + depth / 2 * wave
    left = -(18 - depth / 2 + depth / 2 * np.where((u > bald[0]) & (u < bald[1]), -1.0, -np.cos(2 * np.pi * u / pitch)))
    turn = np.where(u > 85, np.deg2rad(bend), 0)
    step = np.gradient(u) * np.exp(1j * (np.pi / 2 - turn))
    axis = 128 + 70j + np.cumsum(step) - step[0]
    across = np.exp(-1j * turn)
    sides = [axis + right * across, (axis + left * across)[::-1]]
    half = spread / 2
    head = np.array([98 + 70j, 98 + 50j, 98 - half + 30j, 158 + half + 30j, 158 + 50j, 158 + 70j])
    z = np.concatenate([head, *sides])
    return np.stack([z.real, z.imag], axis=1)


def test_outline_is_exact_to_a_fraction_of_a_pixel() -> None:
    outline = outline_of(contour(filled(ellipse(80, 60, 20, (120.3, 131.6)))))
    assert outline.centre == pytest.approx(120.3 + 131.6j, abs=0.1)
    assert outline.size == pytest.approx(np.sqrt(np.pi * 80 * 60), rel=0.005)


@pytest.mark.parametrize("cover", [np.zeros((64, 64), np.float32), np.eye(64, dtype=np.float32) * 0], ids=["0", "1"])
def test_nothing_has_no_outline(cover: np.ndarray) -> None:
    with pytest.raises(ValueError, match="the mask is empty"):
        contour(cover)
    cover[30, 30] = 1
    with pytest.raises(ValueError, match="too small"):
        contour(cover)


def test_fit_finds_turn_and_start() -> None:
    one = outline_of(contour(filled(screw()))).curve
    other = np.roll(one, 70) * np.exp(0.7j)
    apart, shift, turn = fits(one, other[None])
    assert apart[0] == pytest.approx(0, abs=1e-6)
    assert turn[0] == pytest.approx(-0.7)
    assert np.abs(laid(other, int(shift[0]), float(turn[0])) - one).max() < 1e-6
    assert distances(one, one + 0.01).max() <= 0.0101


@pytest.mark.parametrize("degrees", [0.0, 3.0, 8.0, 20.0])
def test_bend_is_measured(degrees: float) -> None:
    shape = shape_of(filled(screw(bend=degrees)))
    assert shape.figures["bend"] == pytest.approx(degrees, abs=1.2)


def test_a_spread_head_is_measured() -> None:
    sound, spread = (shape_of(filled(screw(spread=wider))).figures["flare"] for wider in (0, 10))
    # The mean of what the outer 8 to 35 % of the head are wider, in widths of the shank at half depth.
    assert sound == pytest.approx(0, abs=1)
    assert spread == pytest.approx(100 * 5.7 / 32, rel=0.2)
    assert "flare" not in shape_of(filled(ellipse(90, 30))).figures


def test_thread_is_measured() -> None:
    shape = shape_of(filled(screw(pitch=12, depth=5)))
    assert shape.figures["pitch"] == pytest.approx(100 * 12 / 33.5, rel=0.12)
    assert np.median(shape.thread) == pytest.approx(5 / 33.5, rel=0.3)
    stripped = shape_of(filled(screw(pitch=12, depth=5, bald=(70, 120))))
    at = slice(SECTIONS * 7 // 16, SECTIONS * 10 // 16)
    assert stripped.thread[at].min() < 0.3 * np.median(shape.thread)
    assert (stripped.section[stripped.section >= 0] < SECTIONS).all()


def test_ovality_symmetry_and_holes() -> None:
    ring = shape_of(filled(ellipse(88, 80, 30), (ellipse(30, 30),))).figures
    assert ring["ovality"] == pytest.approx(10, abs=0.6)
    assert ring["holes"] == 1
    assert ring["hole share"] == pytest.approx(100 * 900 / (88 * 80), rel=0.05)
    assert ring["hole offset"] < 0.3
    off = shape_of(filled(ellipse(80, 80), (ellipse(30, 30, centre=(140, 128)),))).figures
    assert off["hole offset"] == pytest.approx(100 * 12 / np.sqrt(np.pi * 6400), rel=0.1)
    hexagon = 80 * np.exp(1j * np.pi / 3 * np.arange(6))
    corners = np.stack([hexagon.real, hexagon.imag], axis=1) + 128
    whole = shape_of(filled(corners)).figures["asymmetry"]
    chipped = np.concatenate([[corners[0] + [-18, -10], corners[0] + [-18, 10]], corners[1:]])
    assert shape_of(filled(chipped)).figures["asymmetry"] > 5 * whole
    # Where no border is seen, the outline is a guess, and nothing follows from it.
    guessed = shape_of(filled(chipped), look=lambda points: points[:, 0] < 150)
    assert guessed.figures["asymmetry"] < 2 * whole
    assert "ovality" not in guessed.figures


def healthy(n: int = 24, seed: int = 0) -> list[Shape]:
    """Discs and screws in turn, each a little different."""
    rng = np.random.default_rng(seed)
    return [
        shape_of(
            filled(ellipse(80 + rng.normal(0, 0.5), 80 + rng.normal(0, 0.5)))
            if i % 2
            else filled(screw(bend=rng.normal(0, 0.4), pitch=12 + rng.normal(0, 0.2)))
        )
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def learned() -> HealthyShapes:
    shapes = healthy()
    model = HealthyShapes()
    scores = model.fit(shapes, np.arange(len(shapes)), 0.05)
    assert (scores > 1).mean() <= 0.1
    return model


@pytest.mark.parametrize(
    ("cover", "worst"),
    [
        (filled(screw(bend=6)), "bend"),
        (filled(screw(bald=(70, 120))), "thread"),
        (filled(ellipse(86, 80)), "ovality"),
    ],
    ids=["bent", "stripped", "oval"],
)
def test_deformed_parts_score_above_one_and_say_why(learned: HealthyShapes, cover: np.ndarray, worst: str) -> None:
    found = learned.compare(shape_of(cover))
    assert found.score > 1.15
    assert worst in {CHECKS[i].name for i in np.flatnonzero(found.excess > 1)}


def test_healthy_parts_of_both_kinds_stay_below(learned: HealthyShapes) -> None:
    assert max(learned.compare(one).score for one in healthy(8, seed=5)) < 1.15


def test_a_kind_that_was_not_shown_is_new(learned: HealthyShapes) -> None:
    square = np.array([[60, 60], [196, 60], [196, 196], [60, 196]], float)
    found = learned.compare(shape_of(filled(square)))
    assert found.new_kind
    assert found.score > 1.15


def test_files_of_before_a_check_load_without_it(learned: HealthyShapes) -> None:
    state = learned.state()
    assert CHECKS[-1].name == "flare"
    state |= {name: state[name][..., :-1] for name in ("figures_", "values_", "deviations_", "pooled_")}
    again, shape = HealthyShapes().restore(state), shape_of(filled(screw(bend=4)))
    assert again.compare(shape).excess[:-1] == pytest.approx(learned.compare(shape).excess[:-1])
    assert again.compare(shape_of(filled(screw(spread=10)))).excess[-1] == 0


def test_state_comes_back_and_more_parts_can_be_learned(learned: HealthyShapes) -> None:
    again = HealthyShapes().restore(learned.state())
    shape = shape_of(filled(screw(bend=4)))
    assert again.compare(shape).score == learned.compare(shape).score
    before = len(again.groups_)
    scores = again.extend(healthy(2, seed=9), np.array([100, 101]))
    assert len(scores) == 2
    assert len(again.groups_) == before + 2
    assert again.extend([], np.empty(0, int)).size == 0
