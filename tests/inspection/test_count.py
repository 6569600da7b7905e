"""Numbers of parts as evidence: missing, extra, swapped and foreign parts of drawn kits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fastener.config import Config, load_config
from fastener.inspection.count import CountEvidence, parts_of
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Inspection
from fastener.preprocessing.pipeline import Preprocessor

CONFIG = load_config(
    "configs/kit.yaml", flags={"preprocess.size": 160, "evidence": ("count",), "run.workers": 0, "run.device": "cpu"}
)
WHOLE = ("disc", "disc", "ring", "bar", "bar", "bar")
PLACES = [(60, 60), (160, 60), (260, 60), (60, 160), (160, 160), (260, 160), (60, 260), (160, 260), (260, 260)]


def tray(seed: int, contents: tuple[str, ...] = WHOLE) -> np.ndarray:
    """Discs, rings and bars in any places and at any angle."""
    rng = np.random.default_rng(seed)
    photo = np.full((320, 320, 3), 235, np.uint8)
    for part, place in zip(contents, rng.permutation(len(PLACES)), strict=False):
        x, y = np.array(PLACES[place]) + rng.integers(-6, 7, 2)
        if part == "bar":
            box = cv2.boxPoints(((float(x), float(y)), (72.0, 18.0), float(rng.uniform(0, 180))))
            cv2.fillPoly(photo, [np.rint(box).astype(np.int32)], (70, 70, 72), cv2.LINE_AA)
        elif part == "square":
            cv2.rectangle(photo, (int(x) - 30, int(y) - 30), (int(x) + 30, int(y) + 30), (70, 70, 72), -1)
        else:
            cv2.circle(photo, (int(x), int(y)), 28, (70, 70, 72), -1, cv2.LINE_AA)
            if part == "ring":
                cv2.circle(photo, (int(x), int(y)), 14, (235, 235, 235), -1, cv2.LINE_AA)
    return np.clip(photo + rng.normal(0, 1.5, photo.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    return Inspector.fit([tray(i) for i in range(16)], CONFIG, groups=range(16), warn=lambda line: None)


def judged(inspector: Inspector, contents: tuple[str, ...], seed: int = 90) -> Inspection:
    result = inspector.inspect([tray(seed, contents)])[0]
    assert isinstance(result, Inspection)
    return result


def test_it_is_used_only_when_named() -> None:
    assert not CountEvidence.is_default(Config(), "filters")
    assert load_config("configs/kit.yaml").evidence == ("count", "colour")


def test_whole_kits_pass(inspector: Inspector) -> None:
    results = [judged(inspector, WHOLE, seed) for seed in range(50, 56)]
    assert not any(one.is_anomalous for one in results)
    figures = results[0].evidence["count"].figures
    assert sorted(value for name, value in figures.items() if name.endswith("_found")) == [1, 2, 3]


@pytest.mark.parametrize(
    ("contents", "score"),
    [
        (WHOLE[1:], 1),
        (WHOLE[:-1], 1),
        ((*WHOLE, "ring"), 1),
        (("ring", *WHOLE[1:]), 2),
        ((*WHOLE, "square"), 1),
    ],
    ids=["disc missing", "bar missing", "ring too many", "disc swapped for ring", "foreign part"],
)
def test_other_numbers_are_flagged_with_a_place(inspector: Inspector, contents: tuple[str, ...], score: int) -> None:
    result = judged(inspector, contents)
    assert result.evidence["count"].score == score
    assert result.is_anomalous
    assert result.regions
    assert "expected" in result.evidence["count"].note or "not seen" in result.evidence["count"].note


def test_a_small_part_beside_large_ones_is_counted() -> None:
    photo = tray(3)
    cv2.circle(photo, (12, 12), 7, (70, 70, 72), -1, cv2.LINE_AA)  # a twentieth of a disc
    prepared = Preprocessor(CONFIG.preprocess)(photo)
    assert len(parts_of(prepared)) == len(WHOLE) + 1


def test_masks_of_nothing_a_pixel_and_everything() -> None:
    prepared = Preprocessor(CONFIG.preprocess)(tray(4))
    nothing = np.zeros_like(prepared.mask)
    assert not parts_of(replace(prepared, mask=nothing))
    nothing[40, 40] = True
    assert not parts_of(replace(prepared, mask=nothing))
    assert not parts_of(replace(prepared, mask=~np.zeros_like(nothing), photo=np.full_like(prepared.photo, 235)))


def test_saved_and_loaded_it_counts_the_same(inspector: Inspector, tmp_path: Path) -> None:
    inspector.save(tmp_path / "kit.pkl")
    loaded = Inspector.load(tmp_path / "kit.pkl", "cpu")
    assert judged(loaded, WHOLE[1:]).evidence == judged(inspector, WHOLE[1:]).evidence
