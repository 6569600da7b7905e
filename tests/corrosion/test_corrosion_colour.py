"""Colour of a series against known areas: rendered rust, drawn paint, casts of light, and the frame of the mask."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from corrosion_factory import analyse, write_series
from drawn_parts import BOLT, add_noise, draw, plain_ground
from hypothesis import given
from hypothesis import strategies as st

from fastener.config import Config
from fastener.corrosion.colour_growth import Colour, measure
from fastener.corrosion.colour_sectors import GREEN, RUST, TARNISH, Sectors, Surface
from fastener.corrosion.own_colour import Baseline
from fastener.corrosion.registration import Registration
from fastener.datasets.synthetic.parts import KINDS, render_time_series
from fastener.preprocessing.pipeline import Preprocessor

SETTINGS = Config().corrosion
SECTORS = Sectors.of(Config().colour, SETTINGS)
STILL = Registration(np.eye(2, 3), 1.0, 1.0, True)
LIGHTS = ((1.0, 1.0, 1.0), (1.0, 0.88, 0.7), (0.8, 0.93, 1.0))
SHARES = (0.0, 0.2, 0.6)
FINISHES, GROUNDS = ("silver", "grey", "black"), ("white", "light", "bench")


def lab_of(hue: float, chroma: float, lightness: float = 45.0) -> tuple[float, float, float]:
    return lightness, chroma * np.cos(np.deg2rad(hue)), chroma * np.sin(np.deg2rad(hue))


def painted(*patches: tuple[slice, tuple[float, float, float]]) -> Surface:
    """A 100 x 100 part that fills its frame, grey but for the rows that are named."""
    lab = np.zeros((100, 100, 3), np.float32)
    lab[..., 0] = 45.0
    for rows, colour in patches:
        lab[rows] = colour
    return Surface(lab, np.ones((100, 100), bool))


def shares(surface: Surface, baseline: Baseline | None = None, light_certain: bool = True) -> Colour:
    return measure(surface, SECTORS, baseline, reach=25.0, light_certain=light_certain)


@pytest.mark.slow
def test_rendered_rust_is_measured_on_every_part_in_every_light(tmp_path: Path) -> None:
    """A sample of benchmarks/corrosion_accuracy.py: each part meets one light on one ground, as in a Latin square."""
    for (row, kind), (column, finish) in product(enumerate(KINDS), enumerate(FINISHES)):
        light, ground = LIGHTS[(row + column) % 3], GROUNDS[(2 * row + column) % 3]
        parts = render_time_series(7, kind, finish, SHARES, light_rgb=light, background=ground)
        write_series(tmp_path, f"{kind} {finish}", [part.image for part in parts], [str(h) for h in range(len(parts))])
    errors = {}
    for result in analyse(tmp_path):
        found = np.array([point.rust for point in result.points])
        assert (np.diff(found) > 0).all(), result.component
        errors[result.component] = float(np.abs(found - 100 * np.array(SHARES)).mean())
    assert np.mean(list(errors.values())) < 3.0
    assert max(errors.values()) < 5.0, errors


def test_mask_and_colours_share_one_frame() -> None:
    """A part in a corner, turned, a fifth of it rust. The published script's mask lies over the uncropped photo."""
    photo = draw(BOLT, 40.0, ground=plain_ground(size=(600, 720)), centre=(200.0, 190.0))
    part = np.abs(photo.astype(int) - (240, 240, 238)).sum(2) > 200
    rows, columns = np.nonzero(part)
    rusty = np.argsort(rows - columns)[: round(0.2 * len(rows))]
    photo[rows[rusty], columns[rusty]] = (150, 80, 40)
    prepared = Preprocessor(Config().preprocess.model_copy(update={"size": 256}))(add_noise(photo))
    from fastener.inspection.colour import relative_lab

    surface = Surface(relative_lab(prepared.photo, prepared.white), prepared.mask)
    assert shares(surface).rust == pytest.approx(20.0, abs=1.5)
    uncropped = cv2.resize(photo, (256, 256), interpolation=cv2.INTER_AREA)
    wrong = Surface(relative_lab(uncropped, prepared.white), prepared.mask)
    assert shares(wrong).rust < 5.0


def test_shares_are_exact_on_flat_colours() -> None:
    surface = painted(
        (slice(0, 10), lab_of(50, 30)),  # rust
        (slice(10, 15), lab_of(90, 30)),  # tarnish
        (slice(15, 18), lab_of(150, 30)),  # green
        (slice(18, 30), lab_of(22, 30)),  # red paint
        (slice(30, 34), lab_of(50, 4)),  # too pale
        (slice(34, 38), lab_of(50, 30, 90.0)),  # too light
    )
    colour = shares(surface)
    assert (colour.rust, colour.tarnish, colour.green) == pytest.approx((10.0, 5.0, 3.0))


def test_paint_that_the_light_turns_rust_coloured_is_known_by_its_place() -> None:
    first = painted((slice(20, 40), lab_of(22, 30)))
    later = painted((slice(20, 40), lab_of(40, 30)), (slice(60, 65), lab_of(55, 30)))
    colour = shares(later, Baseline((first,), (first, STILL)))
    assert colour.rust == pytest.approx(5.0, abs=0.5)
    assert colour.own == pytest.approx(20.0, abs=0.5)


def test_rust_on_paint_is_rust() -> None:
    first = painted((slice(20, 40), lab_of(22, 30)))
    later = painted((slice(20, 40), lab_of(65, 30)))
    assert shares(later, Baseline((first,), (first, STILL))).rust == pytest.approx(20.0, abs=0.5)


def test_paint_is_known_by_its_hue_where_places_cannot_be_compared() -> None:
    first = painted((slice(0, 20), lab_of(22, 30)))
    # Elsewhere, partly turned rust-coloured, with rust beside it.
    later = painted((slice(50, 57), lab_of(22, 30)), (slice(57, 70), lab_of(36, 30)), (slice(80, 90), lab_of(60, 30)))
    baseline = Baseline((first,), None)
    assert shares(later, baseline).rust == pytest.approx(10.0, abs=0.5)
    same = painted((slice(50, 70), lab_of(22, 30)), (slice(80, 90), lab_of(36, 30)))
    assert shares(same, baseline).rust == pytest.approx(10.0, abs=0.5)


def test_brass_is_no_growth() -> None:
    brass = painted((slice(0, 100), lab_of(85, 35)))
    warmer = painted((slice(0, 100), lab_of(72, 35)))
    before = shares(brass)
    after = shares(warmer, Baseline((brass,), (brass, STILL)))
    assert (before.rust, after.rust) == (0.0, 0.0)


def test_verdigris_on_copper_is_green_and_copper_is_no_rust() -> None:
    copper = painted((slice(0, 100), lab_of(55, 32, 62.0)))
    later = painted((slice(0, 80), lab_of(58, 28, 55.0)), (slice(80, 100), lab_of(165, 24, 60.0)))
    colour = shares(later, Baseline((copper,), (copper, STILL)))
    assert (colour.rust, colour.green) == pytest.approx((0.0, 20.0), abs=0.5)
    assert colour.own == pytest.approx(80.0, abs=0.5)


def test_clean_t0_lowers_the_detection_limit_and_a_warm_one_does_not() -> None:
    clean = SECTORS.sharpened([painted()], SETTINGS)
    warm = SECTORS.sharpened([painted((slice(0, 3), lab_of(60, 9)))], SETTINGS)
    assert clean.rust_chroma == SETTINGS.clean_chroma
    assert warm.rust_chroma == SETTINGS.min_chroma
    assert SECTORS.sharpened([], SETTINGS).rust_chroma == SETTINGS.min_chroma


def test_thin_rust_counts_beside_a_patch_alone_and_only_beyond_the_warm_colours_of_t0() -> None:
    patch = [(slice(20, 30), lab_of(50, 30)), (slice(30, 31), lab_of(50, 5, 80.0)), (slice(60, 61), lab_of(50, 5))]
    specks = painted(*patch)
    specks.lab[80:82, 10] = lab_of(50, 30)
    specks.lab[79:83, 9:12] = np.where(specks.chroma[79:83, 9:12, None] > 20, specks.lab[79:83, 9:12], lab_of(50, 5))
    clean = SECTORS.sharpened([painted()], SETTINGS)
    found = clean.classify(Surface(specks.lab, specks.mask)) == RUST
    assert found[20:31].all()
    assert found.sum() == 11 * 100 + 2
    # On a dark part, what is paler is the patch's own blur.
    dark = painted(patch[0], (slice(30, 31), lab_of(50, 5)))
    assert (clean.classify(dark) == RUST).sum() == 10 * 100
    warm = SECTORS.sharpened([painted((slice(0, 3), lab_of(60, 6)))], SETTINGS)
    assert warm.thin_chroma > 7.0
    assert (warm.classify(painted(*patch)) == RUST).sum() == 10 * 100
    assert SECTORS.sharpened([], SETTINGS).thin_chroma == SETTINGS.min_chroma


def test_uncertainty_is_larger_at_the_border_of_a_sector_and_in_unknown_light() -> None:
    deep = shares(painted((slice(0, 20), lab_of(50, 40))))
    edge = shares(painted((slice(0, 20), lab_of(50, SECTORS.rust_chroma + 0.2))))
    dark = shares(painted((slice(0, 20), lab_of(50, SECTORS.rust_chroma + 2.0))), light_certain=False)
    lit = shares(painted((slice(0, 20), lab_of(50, SECTORS.rust_chroma + 2.0))))
    assert edge.deviations[0] > 5.0 > deep.deviations[0]
    assert dark.deviations[0] > lit.deviations[0]


@pytest.mark.parametrize("registration", [STILL, None])
def test_a_cast_on_the_whole_part_is_no_green_oxidation_and_a_patch_is(registration: Registration | None) -> None:
    base = painted((slice(80, 90), lab_of(20, 30)))
    baseline = Baseline((base,), (base, registration) if registration is not None else None)
    cast = Surface(base.lab + np.array([0.0, *lab_of(150, 16)[1:]], np.float32), base.mask)
    lit = shares(cast, baseline)
    assert lit.green > 80.0
    assert lit.deviations[2] > 40.0
    patch = shares(painted((slice(0, 60), lab_of(150, 25)), (slice(80, 90), lab_of(20, 30))), baseline)
    if registration is not None:
        assert patch.green == pytest.approx(60.0)
        assert patch.deviations[2] < 2.0
        rusted = shares(painted((slice(0, 75), lab_of(50, 40))), baseline)
        assert rusted.rust == pytest.approx(75.0)
        assert rusted.deviations[0] < 3.0


@given(st.floats(0, 359.9), st.floats(0, 60), st.floats(5, 95))
def test_a_colour_belongs_to_at_most_the_sector_of_its_hue(hue: float, chroma: float, lightness: float) -> None:
    surface = painted((slice(0, 100), lab_of(hue, chroma, lightness)))
    kind = int(np.unique(SECTORS.classify(surface)).item())
    expected = {RUST: (30, 75), TARNISH: (75, 105), GREEN: (105, 200)}
    if kind:
        low, high = expected[kind]
        assert low - 0.1 <= hue <= high + 0.1
        assert chroma >= min(SECTORS.rust_chroma, SECTORS.oxide_chroma) - 0.1
    elif 31 < hue < 74:
        assert chroma < SECTORS.rust_chroma + 0.1 or lightness > SECTORS.rust_lightness - 0.1


def test_sector_may_cross_zero_degrees() -> None:
    sectors = replace(SECTORS, rust_hues=(350.0, 20.0))
    assert list(sectors.is_rust_hue(np.array([340.0, 355.0, 5.0, 25.0]))) == [False, True, True, False]
