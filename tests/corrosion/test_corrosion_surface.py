"""White deposit, lost coating and healthy parts: rendered series whose areas are known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from corrosion_factory import small_config, small_inspector, write_series

from fastener.config import CorrosionSettings
from fastener.corrosion import quality
from fastener.corrosion.analysis import Analyser, ComponentResult
from fastener.corrosion.holes import shared_holes
from fastener.corrosion.kept_detail import kept_detail
from fastener.corrosion.photometry import match_exposure
from fastener.corrosion.ratings import rated
from fastener.corrosion.records import component_record
from fastener.corrosion.registration import Registration
from fastener.corrosion.severity import NOT_JUDGED, STABLE
from fastener.corrosion.surface_change import WHITE as DEPOSIT
from fastener.corrosion.surface_change import Scene, SurfaceChange, surface_change
from fastener.corrosion.text import headline, overview
from fastener.datasets.components import load_components
from fastener.datasets.synthetic.corrosion import (
    DARK,
    RED,
    WHITE,
    Conditions,
    CorrodedPart,
    Corrosion,
    render_corrosion,
)
from fastener.inspection.inspector import Inspector


def analysed(
    folder: Path, photos: list[np.ndarray], inspector: Inspector | None = None, frame: int = 384
) -> ComponentResult:
    write_series(folder, "Part", photos, [str(24 * index) for index in range(len(photos))])
    config = small_config(corrosion__frame=frame)
    return Analyser(inspector, config.corrosion, config.colour)(load_components(folder)[0][0])


def render(kind: str, finish: str, *states: Corrosion) -> list[CorrodedPart]:
    lights = [Conditions(), Conditions(gain=0.85, light_rgb=(1.0, 0.96, 0.92)), Conditions(gain=1.1, blur=0.9)]
    return render_corrosion(21, kind, finish, [Corrosion(), *states], lights[: len(states) + 1])


def test_masks_of_rendered_corrosion_are_exact_and_disjoint() -> None:
    part = render("nut", "grey", Corrosion(white=0.2, red=0.1, dark=0.05))[1]
    assert [part.share(kind) for kind in (WHITE, RED, DARK)] == pytest.approx([0.2, 0.1, 0.05], abs=0.001)
    assert not (part.classes[~part.part_mask] > 0).any()


def test_exposure_is_found_under_deposit_on_a_third() -> None:
    before = np.tile(np.linspace(0.02, 0.2, 192, dtype=np.float32), (192, 1))
    after = 0.6 * before + 0.01
    after[:64] = 0.5
    found = match_exposure(before, after, np.ones(before.shape, bool))
    assert found.gain == pytest.approx(0.6, rel=0.03)
    assert found.veil == pytest.approx(0.01, abs=0.003)


def test_what_burnt_out_tells_nothing_of_the_light() -> None:
    rng = np.random.default_rng(3)
    before = 0.3 + 0.5 * cv2.GaussianBlur(rng.random((192, 192)).astype(np.float32), (0, 0), 4)
    before[:, :90] += 0.3
    after = np.clip(1.4 * before, 0.0, 1.0)
    found = match_exposure(before, after, np.ones(before.shape, bool), after >= 1.0)
    assert (after >= 1.0).mean() > 0.4
    assert found.gain == pytest.approx(1.4, rel=0.02)


def test_matt_deposit_is_darker_than_metal_that_mirrors_the_lamp_and_a_moved_lamp_is_none() -> None:
    rng = np.random.default_rng(6)
    metal = 215.0 + cv2.GaussianBlur(rng.normal(size=(384, 384)).astype(np.float32), (0, 0), 1.5) * 6.0
    mask = np.zeros((384, 384), bool)
    mask[40:344, 40:344] = True
    field = cv2.GaussianBlur(rng.normal(size=mask.shape).astype(np.float32), (0, 0), 8.0)
    deposit = mask & (field > np.quantile(field[mask], 0.8))
    matt = 203.0 + cv2.GaussianBlur(rng.normal(size=mask.shape).astype(np.float32), (0, 0), 2.0) * 6.0
    coated = compared(metal, np.where(deposit, matt, metal), mask)
    assert coated.white == pytest.approx(20.0, abs=4.0)
    assert coated.dark == 0.0
    moved = 12.0 * np.linspace(-1.0, 1.0, 384)[None]
    assert compared(metal, metal + moved, mask).white < 0.5
    burnt = compared(np.where(mask, metal + 60.0, metal), metal, mask)
    assert (burnt.judged, burnt.white, burnt.dark) == (0.0, 0.0, 0.0)


def compared(before: np.ndarray, after: np.ndarray, mask: np.ndarray) -> SurfaceChange:
    """Compare two photos, grey values (384, 384), on a ground of 225."""
    rng = np.random.default_rng(7)

    def scene(lightness: np.ndarray) -> Scene:
        noisy = np.where(mask, lightness, 225.0) + rng.normal(size=mask.shape)
        photo = np.repeat(np.clip(np.rint(noisy), 0, 255).astype(np.uint8)[..., None], 3, axis=2)
        return Scene(photo, mask, np.ones_like(mask), np.full(3, 225.0))

    still = Registration(np.eye(2, 3), 1.0, 1.0, True)
    return surface_change(scene(before), scene(after), still, np.zeros_like(mask), CorrosionSettings())


def test_rough_crust_as_light_as_the_metal_is_found_and_a_reflection_is_not() -> None:
    rng = np.random.default_rng(5)
    metal = 165.0 + cv2.GaussianBlur(rng.normal(size=(384, 384)).astype(np.float32), (0, 0), 12.0) * 60.0
    mask = np.zeros((384, 384), bool)
    mask[40:344, 40:344] = True
    crust = np.zeros_like(mask)
    crust[100:220, 100:220] = True
    grains = cv2.GaussianBlur(rng.normal(size=mask.shape).astype(np.float32), (0, 0), 2.0) * 90.0

    found = compared(metal, np.where(crust, 165.0 + grains, metal), mask)
    assert found.white == pytest.approx(100 * crust.sum() / mask.sum(), abs=3.0)
    assert (found.classes[crust] == DEPOSIT).mean() > 0.8
    reflection = 12.0 * np.exp(-((np.arange(384) - 160.0) ** 2) / (2 * 30.0**2))
    assert compared(metal, metal + reflection[None], mask).white < 0.5


def brushed(seed: int) -> np.ndarray:
    """Metal with fine detail, grey values (384, 384)."""
    rng = np.random.default_rng(seed)
    detail = cv2.GaussianBlur(rng.normal(size=(384, 384)).astype(np.float32), (0, 0), 1.2)
    return np.asarray(200.0 + 4.0 * detail / detail.std())


def test_deposit_as_light_and_as_rough_as_the_metal_is_found_by_the_detail_that_it_hides() -> None:
    metal, other = brushed(11), brushed(12)
    mask = np.zeros((384, 384), bool)
    mask[40:344, 40:344] = True
    deposit = np.zeros_like(mask)
    deposit[90:210, 90:250] = True
    found = compared(metal, np.where(deposit, other, metal), mask)
    assert found.white == pytest.approx(100 * deposit.sum() / mask.sum(), abs=3.0)
    assert (found.classes[deposit] == DEPOSIT).mean() > 0.9
    assert compared(metal, 0.8 * metal + 30.0, mask).white < 0.5
    # Wherever T0 shows detail, it has changed: the part lies or is lit otherwise.
    metal[:, :222] = 200.0 + 0.1 * (metal[:, :222] - 200.0)
    assert compared(metal, np.where(np.arange(384) < 222, metal, other), mask).white < 5.0


def test_kept_detail_is_the_correlation_of_neighbourhoods_and_is_expected_where_t0_shows_any() -> None:
    before = brushed(13)
    before[:, 192:] = 200.0
    noise = np.random.default_rng(14).normal(size=before.shape)
    everywhere = np.ones(before.shape, bool)
    # The registration is off by two pixels.
    agreement, expected = kept_detail(before, np.roll(0.5 * before, (2, -2), (0, 1)) + noise, everywhere, everywhere)
    left = np.s_[20:364, 20:172]
    shown = 0.5 * (before[left] - cv2.GaussianBlur(before, (0, 0), 0.008 * 384)[left])
    assert np.median(agreement[left]) == pytest.approx(
        np.corrcoef(shown.ravel(), (shown + noise[left]).ravel())[0, 1], abs=0.03
    )
    assert np.median(expected[left]) == pytest.approx(np.median(agreement[left]), abs=0.05)
    assert expected[20:364, 220:364].max() == 0.0


def test_a_tilt_that_shows_more_of_a_light_wall_is_no_deposit() -> None:
    rows, columns = np.mgrid[:384, :384].astype(np.float32)

    def tilted(by: float) -> np.ndarray:
        """A dark face of a disc, moved ``by`` pixels to the left, so that its light wall shows at the right."""
        return np.where(np.hypot(rows - 192.0, columns - 192.0 + by) <= 170.0 - by, 60.0, 120.0)

    mask = np.hypot(rows - 192.0, columns - 192.0) <= 170.0
    assert compared(tilted(8.0), tilted(15.0), mask).white < 0.5
    deposit = np.where(np.hypot(rows - 192.0, columns - 192.0) <= 30.0, 120.0, tilted(15.0))
    assert compared(tilted(8.0), deposit, mask).white > 80.0 * 30.0**2 / 170.0**2


def test_deposit_that_follows_a_thread_is_found_by_its_own_detail_and_a_moved_lamp_is_none() -> None:
    rng = np.random.default_rng(15)
    rows = np.arange(384, dtype=np.float32)[:, None]
    thread = np.broadcast_to(150.0 + 35.0 * np.sin(2.0 * np.pi * rows / 14.0), (384, 384))
    mask = np.zeros((384, 384), bool)
    mask[40:344, 100:284] = True
    deposit = np.zeros_like(mask)
    deposit[150:230, 130:220] = True
    grains = cv2.GaussianBlur(rng.normal(size=mask.shape).astype(np.float32), (0, 0), 1.5)
    veiled = thread + 13.0 * grains / grains.std()
    inside = np.s_[160:220, 140:210]
    assert np.corrcoef(thread[inside].ravel(), veiled[inside].ravel())[0, 1] > 0.85
    found = compared(thread, np.where(deposit, veiled, thread), mask)
    assert found.white == pytest.approx(100 * deposit.sum() / mask.sum(), abs=3.5)
    assert (found.classes[deposit] == DEPOSIT).mean() > 0.8
    lit = (thread - 150.0) * np.linspace(0.7, 1.3, 384, dtype=np.float32)[None] + 150.0
    assert compared(thread, np.roll(lit, 1, 0), mask).white < 0.5


def test_highlights_of_a_thread_are_no_holes() -> None:
    part = np.zeros((384, 384), bool)
    part[40:344, 100:284] = True
    metal = np.where(part, 0.35, 0.9).astype(np.float32)
    highlights = metal.copy()
    for row in range(60, 330, 28):
        highlights[row : row + 10, 180:200] = 0.8
    hole = metal.copy()
    hole[160:220, 160:220] = 0.9
    ground = np.full(3, 244.0)
    assert not shared_holes(highlights, highlights, part, ground, ground).any()
    found = shared_holes(hole, hole, part, ground, ground)
    assert found[160:220, 160:220].all()
    assert found.sum() < 2 * 60 * 60


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "finish"), [("nut", "black"), ("washer", "black"), ("washer", "grey")])
def test_areas_of_white_and_red(kind: str, finish: str, tmp_path: Path) -> None:
    parts = render(kind, finish, Corrosion(white=0.06), Corrosion(white=0.12, red=0.10))
    result = analysed(tmp_path, [part.image for part in parts])
    for point, part in zip(result.points[1:], parts[1:], strict=True):
        assert point.white == pytest.approx(100 * part.share(WHITE), abs=5.0)
        assert point.rust == pytest.approx(100 * part.share(RED), abs=3.5)
        assert point.white is not None
        assert point.white_ci95 is not None
        assert point.white_ci95[0] <= point.white <= point.white_ci95[1]
    assert result.points[-1].status == "DEGRADING"


@pytest.mark.slow
def test_lost_coating_is_dark_and_a_dull_surface_is_sound(tmp_path: Path) -> None:
    parts = render("washer", "silver", Corrosion(dark=0.10), Corrosion(dull=0.5))
    flaked, dull = analysed(tmp_path, [part.image for part in parts]).points[1:]
    assert flaked.dark == pytest.approx(10.0, abs=3.0)
    assert flaked.status == "DEGRADING"
    assert dull.status == STABLE


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "finish"), [("bolt", "silver"), ("nut", "black")])
def test_healthy_part_in_other_light_pose_and_focus_is_stable(kind: str, finish: str, tmp_path: Path) -> None:
    how = [
        Conditions(),
        Conditions(pose=1.5, lamp=2.0, gain=0.75, blur=1.6, light_rgb=(1.05, 1.0, 0.93)),
        Conditions(pose=1.5, lamp=2.0, gain=1.25),
    ]
    parts = render_corrosion(33, kind, finish, [Corrosion()] * 3, how)
    assert [point.status for point in analysed(tmp_path, [part.image for part in parts]).points[1:]] == [STABLE] * 2


@pytest.mark.slow
def test_verdict_is_the_same_with_any_model_and_with_none(tmp_path: Path) -> None:
    photos = [part.image for part in render("nut", "black", Corrosion(white=0.1))]
    own = Inspector.fit([photos[0]] * 2, small_config())
    results = [
        analysed(tmp_path / str(index), photos, model, frame=192)
        for index, model in enumerate((None, own, small_inspector()))
    ]
    first = results[0].points[1]
    for result in results[1:]:
        assert result.points[1].verdict == first.verdict
        assert (result.points[1].white, result.points[1].status) == (first.white, first.status)
    assert results[0].points[1].growth is None
    assert results[1].points[1].growth is not None


@pytest.mark.slow
def test_a_part_as_light_as_its_ground_is_found_by_its_outline_at_t0(tmp_path: Path) -> None:
    """Deposit hides so much of the outline that the part's face is taken for the ground."""
    shots = [Conditions(), Conditions(gain=0.85), Conditions(gain=1.1, blur=0.9), Conditions(gain=0.95)]
    states = [Corrosion(white=share) for share in (0.0, 0.05, 0.2, 0.35)]
    parts = render_corrosion(41, "washer", "grey", states, shots, size=(480, 480))
    (point,) = analysed(tmp_path, [parts[0].image, parts[3].image]).points[1:]
    assert point.white == pytest.approx(35.0, abs=12.0)
    assert point.status == "DEGRADING"


@pytest.mark.slow
def test_another_part_of_like_outline_is_remarked(tmp_path: Path) -> None:
    parts = ((301, "nut", "grey"), (303, "nut", "black"))
    photos = [render_corrosion(*part, [Corrosion()], size=(480, 480))[0].image for part in parts]
    flags = analysed(tmp_path, photos, frame=768).points[1].shots[0].flags
    assert {quality.WEAKLY_KNOWN, quality.OTHER_FINISH} <= set(flags)


@pytest.mark.slow
def test_another_part_under_the_same_name_is_remarked(tmp_path: Path) -> None:
    photos = [part.image for part in render("bolt", "black", Corrosion())]
    other = render("washer", "black")[0].image
    result = analysed(tmp_path, [photos[0], np.ascontiguousarray(other)])
    assert result.points[1].shots[0].surface is None
    assert any("not shown at T0" in flag for flag in result.points[1].shots[0].flags)
    assert result.points[1].white is None
    assert (result.points[1].status, result.status) == (NOT_JUDGED, NOT_JUDGED)
    record = rated(component_record(result, small_config().corrosion), {"red": 24.0})
    assert (record["timepoints"]["24"]["rp"], record["requirements"]["all"]) == (None, "not shown")
    assert "not judged at the end" in overview([record])
    assert "no change can be stated" in headline(record["timepoints"]["24"])
