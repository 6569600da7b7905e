"""The synthetic fasteners: same seed same picture, exact masks, rust of the promised share and colour."""

from __future__ import annotations

import csv
import hashlib
import itertools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastener.common.errors import UserError
from fastener.datasets.synthetic.demo_dataset import write_demo_dataset
from fastener.datasets.synthetic.material import BACKGROUNDS, FINISHES
from fastener.datasets.synthetic.parts import DEFECTS, KINDS, render_part, render_time_series
from fastener.datasets.synthetic.render import RenderedPart
from fastener.datasets.synthetic.sections import Hexagon

SMALL = (160, 160)


def lab(image: np.ndarray) -> np.ndarray:
    """CIELab of RGB uint8: L 0..100, a and b signed."""
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    side = 2 * pixels + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_bytes_and_other_seed_other_picture(kind: str) -> None:
    first, again, other = (render_part(seed, kind, defect="rust", size=SMALL) for seed in (3, 3, 4))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.defect_mask, again.defect_mask)
    assert np.abs(first.image.astype(int) - other.image).mean() > 3


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    kind=st.sampled_from(KINDS),
    finish=st.sampled_from(tuple(FINISHES)),
    defect=st.sampled_from(DEFECTS),
    size=st.sampled_from([(96, 96), (160, 120), (120, 200)]),
)
def test_every_render_is_one_whole_part_inside_the_frame(
    seed: int, kind: str, finish: str, defect: str, size: tuple[int, int]
) -> None:
    if (kind, defect) == ("nut", "bend"):
        return
    part = render_part(seed, kind, finish, defect, size=size)
    assert part.image.shape == (*size, 3)
    assert part.image.dtype == np.uint8
    assert part.part_mask.dtype == part.defect_mask.dtype == np.bool_
    assert not (part.defect_mask & ~part.part_mask).any()
    assert part.defect_mask.any() == (defect != "none")
    edges = np.concatenate([part.part_mask[[0, -1]].ravel(), part.part_mask[:, [0, -1]].ravel()])
    assert not edges.any()
    _, _, stats, _ = cv2.connectedComponentsWithStats(part.part_mask.astype(np.uint8))
    assert stats[1:, cv2.CC_STAT_AREA].max() > 0.99 * part.part_mask.sum()
    assert 0.05 < part.part_mask.sum() / min(size) ** 2 < 0.6


@pytest.mark.parametrize("defect", ["rust", "pit", "scratch"])
@pytest.mark.parametrize("kind", KINDS)
def test_picture_changes_inside_the_defect_and_nowhere_else(kind: str, defect: str) -> None:
    good, bad = render_part(11, kind, "silver"), render_part(11, kind, "silver", defect)
    change = np.abs(good.image.astype(int) - bad.image).max(axis=2)
    assert np.array_equal(good.part_mask, bad.part_mask)
    assert change[~grown(bad.defect_mask, 4)].max() == 0
    assert np.median(change[bad.defect_mask]) > 15


@pytest.mark.parametrize("kind", ["bolt", "washer"])
def test_bend_moves_the_outline_beyond_the_bend_only(kind: str) -> None:
    straight, bent = render_part(5, kind, size=SMALL), render_part(5, kind, defect="bend", size=SMALL)
    moved = straight.part_mask ^ bent.part_mask
    assert moved.sum() > 0.03 * straight.part_mask.sum()
    kept = bent.part_mask & ~bent.defect_mask
    assert kept.sum() > 0.3 * bent.part_mask.sum()
    assert (kept & ~grown(straight.part_mask, 1)).sum() == 0


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 0.77, 1.0])
def test_rust_share_is_met(share: float) -> None:
    part = render_part(2, "nut", "grey", "rust", size=SMALL, rust_share=share)
    assert part.rust_share == pytest.approx(part.defect_mask.sum() / part.part_mask.sum())
    assert part.rust_share == pytest.approx(share, abs=0.002)


def test_rust_is_rust_coloured_and_sound_metal_is_not() -> None:
    for finish in FINISHES:
        for seed, kind in enumerate(KINDS):
            part = render_part(seed, kind, finish, "rust", background="white")
            inner = cv2.erode(part.defect_mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
            colour = lab(part.image)
            a, b = colour[..., 1], colour[..., 2]
            hue, chroma = np.degrees(np.arctan2(b, a)) % 360, np.hypot(a, b)
            seen = inner & (chroma > 10)
            assert seen.sum() > 0.8 * inner.sum()
            assert ((hue[seen] > 30) & (hue[seen] < 70)).mean() > 0.97
            assert chroma[inner].std() > 4, "mottled, not one flat colour"
            assert (chroma[part.part_mask & ~grown(part.defect_mask, 4)] < 10).mean() > 0.99


def test_coloured_light_reaches_part_rust_and_background_alike() -> None:
    white = render_part(4, "washer", "grey", "rust", size=SMALL, background="bench")
    red = render_part(4, "washer", "grey", "rust", size=SMALL, background="bench", light_rgb=(1.0, 0.7, 0.5))
    for where in (white.defect_mask, white.part_mask & ~white.defect_mask, ~white.part_mask):
        before, after = (linear(image.image)[where].mean(axis=0) for image in (white, red))
        assert after / before == pytest.approx([1.0, 0.7, 0.5], abs=0.03)


def linear(image: np.ndarray) -> np.ndarray:
    value = image / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def test_exposure_brightens_and_never_clips_the_sheet_at_one() -> None:
    dim, plain = (render_part(1, size=SMALL, background="white", exposure=e) for e in (0.5, 1.0))
    ratio = linear(dim.image)[~dim.part_mask].mean() / linear(plain.image)[~plain.part_mask].mean()
    assert ratio == pytest.approx(0.5, abs=0.05)
    assert (plain.image[~plain.part_mask] == 255).mean() < 0.001


@pytest.mark.parametrize("kind", ["nut", "washer"])
def test_background_is_seen_through_the_hole(kind: str) -> None:
    part = render_part(9, kind, "black", size=SMALL, background="white")
    _, labels = cv2.connectedComponents((~part.part_mask).astype(np.uint8), connectivity=4)
    holes = (labels > 0) & (labels != labels[0, 0])
    assert holes.sum() > 0.03 * part.part_mask.sum()
    inner = cv2.erode(holes.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert part.image[inner].mean() > 2 * part.image[part.part_mask].mean()


def test_a_bolt_has_no_hole() -> None:
    part = render_part(9, "bolt", size=SMALL)
    assert cv2.connectedComponents((~part.part_mask).astype(np.uint8))[0] == 2


def test_finishes_differ_in_brightness_and_keep_their_detail() -> None:
    means = {}
    for finish in FINISHES:
        greys = [
            p.image[p.part_mask].mean(axis=1)
            for p in (render_part(s, KINDS[s % 3], finish, size=SMALL) for s in range(6))
        ]
        grey = np.concatenate(greys)
        means[finish] = grey.mean()
        assert (grey < 6).mean() < 0.01
        assert (grey > 249).mean() < 0.1
    assert means["black"] + 40 < means["grey"] < means["silver"] - 15


def test_angle_turns_the_bolt() -> None:
    for wanted in (0, 40, 115):
        mask = render_part(8, "bolt", angle_deg=wanted, size=SMALL).part_mask
        ys, xs = np.nonzero(mask)
        _, vectors = np.linalg.eigh(np.cov(xs, ys))
        x, y = vectors[:, 1]
        assert abs((np.degrees(np.arctan2(y, x)) - wanted + 90) % 180 - 90) < 4


def test_backgrounds_go_from_white_to_dark() -> None:
    parts = [render_part(6, "bolt", size=SMALL, background=name) for name in BACKGROUNDS]
    levels = [part.image[~part.part_mask].mean() for part in parts]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] > 220
    assert levels[-1] < 75


def test_rust_of_a_series_grows_in_the_same_places() -> None:
    shares = (0.0, 0.05, 0.2, 0.6)
    still = render_time_series(3, "bolt", "grey", shares, size=SMALL, jitter=0.0)
    assert [part.defect for part in still] == ["none", "rust", "rust", "rust"]
    for earlier, later in itertools.pairwise(still):
        assert not (earlier.defect_mask & ~later.defect_mask).any()
        assert np.array_equal(earlier.part_mask, later.part_mask)


def test_shots_of_a_series_differ_a_little_in_pose() -> None:
    shots = render_time_series(3, "nut", "black", (0.1, 0.1, 0.1), size=SMALL)
    for first, second in itertools.pairwise(shots):
        overlap = iou(first, second)
        assert 0.75 < overlap < 1
        assert not np.array_equal(first.image, second.image)
        assert second.rust_share == pytest.approx(0.1, abs=0.002)


def iou(first: RenderedPart, second: RenderedPart) -> float:
    return float((first.part_mask & second.part_mask).sum() / (first.part_mask | second.part_mask).sum())


@given(roll=st.floats(0, 3), v=st.floats(-1.3, 1.3))
def test_upper_edge_of_the_hexagon_bounds_what_it_contains(roll: float, v: float) -> None:
    hexagon = Hexagon(1.0, roll)
    at = np.array([v])
    top, there = hexagon.upper(at)
    column = np.linspace(-1.3, 1.3, 2601)
    inside = column[hexagon.contains(np.full_like(column, v), column)]
    if len(inside) > 2:
        assert there[0]
        assert top[0] == pytest.approx(inside.max(), abs=2e-3)
    n_v, n_z = hexagon.normal(at)
    assert np.hypot(n_v, n_z)[0] == pytest.approx(1)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"kind": "screw"}, "kind"),
        ({"finish": "gold"}, "finish"),
        ({"defect": "dent"}, "defect"),
        ({"kind": "nut", "defect": "bend"}, "bend"),
        ({"background": "lawn"}, "background"),
        ({"defect": "rust", "rust_share": 1.5}, "rust_share"),
        ({"rust_share": 0.5}, "rust_share"),
        ({"size": (20, 20)}, "size"),
        ({"seed": -1}, "seed"),
        ({"exposure": 0.0}, "exposure"),
        ({"light_rgb": (1.0, 1.0)}, "light_rgb"),
    ],
)
def test_bad_arguments_are_named(arguments: dict, word: str) -> None:
    with pytest.raises(UserError, match=word):
        render_part(**{"seed": 0, **arguments})


def test_demo_dataset_has_the_csv_layout_and_is_repeatable(tmp_path: Path) -> None:
    counts: dict[str, Any] = {
        "n_train": 4,
        "n_valid_good": 1,
        "n_valid_defect": 1,
        "n_test_good": 2,
        "n_test_defect": 5,
    }
    for name in ("one", "two"):
        write_demo_dataset(tmp_path / name, seed=7, size=(64, 64), **counts)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    for split, rows_wanted, good in (("train", 4, 4), ("valid", 2, 1), ("test", 7, 2)):
        folder = tmp_path / "one" / split
        with (folder / "_classes.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == rows_wanted
        assert sum(int(row["Good-Part"]) for row in rows) == good
        assert list(rows[0]) == ["filename", "Rust", "Pit", "Scratch", "Bend", "Good-Part"]
        assert {row["filename"] for row in rows} == {path.name for path in folder.glob("*.png")}
        for row in rows:
            assert sum(int(row[name]) for name in list(row)[1:]) == 1
            picture = cv2.imread(str(folder / row["filename"]))
            assert picture is not None
            assert picture.shape == (64, 64, 3)
            mask_path = tmp_path / "one" / "masks" / split / row["filename"]
            assert mask_path.exists() == (row["Good-Part"] == "0")
    hours = [0, 24, 48, 72]
    names = {f"{name}-T{t}.png" for name in ("Bolt Grey", "Nut Black", "Washer Silver") for t in hours}
    assert {path.name for path in (tmp_path / "one" / "components").iterdir()} == names


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_unwritable_demo_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        write_demo_dataset(tmp_path / "file", n_train=1, size=(64, 64))
