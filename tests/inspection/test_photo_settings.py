"""What training settles by looking at its photos: posture and proportions of the frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from data_factory import tiny_config

from fastener.inspection import photo_settings, reading
from fastener.inspection.inspector import Inspector
from fastener.inspection.photo_settings import settled
from fastener.inspection.result import Inspection
from fastener.preprocessing.pipeline import Preprocessor


def photo(angle_deg: float, *, long: int = 160, wide: int = 40) -> np.ndarray:
    """A dark bar on light ground, 200 x 320 pixels."""
    image = np.full((200, 320, 3), 230, np.uint8)
    corners = cv2.boxPoints(((160, 100), (long, wide), angle_deg))
    cv2.fillPoly(image, [np.rint(corners).astype(np.int32)], (70, 75, 80), lineType=cv2.LINE_AA)
    return image


VARIOUS = [photo(angle) for angle in range(0, 180, 15)]
ALIKE = [photo(40)] * 12


def preprocess(photos: Sequence[np.ndarray], **settings: Any) -> Any:
    config = tiny_config(preprocess={"enabled": False, "size": 128, **settings})
    return settled(config, photos).preprocess


def test_long_parts_at_various_angles_are_turned_upright_in_a_frame_of_their_proportions() -> None:
    settings = preprocess(VARIOUS)
    assert settings.upright
    assert not settings.enabled
    # A bar of 160 x 40 with a twentieth of 160 on every side: 176 x 56, of about 128 x 128 pixels.
    assert settings.size == (224, 64)


def test_turned_bars_look_alike_and_fill_the_frame() -> None:
    make = Preprocessor(preprocess(VARIOUS))
    frames = [make(one) for one in VARIOUS]
    shares = [frame.mask.mean() for frame in frames]
    assert min(shares) > 0.5
    common = np.logical_and.reduce([frame.mask for frame in frames])
    either = np.logical_or.reduce([frame.mask for frame in frames])
    assert common.sum() > 0.85 * either.sum()
    # The light stays as it is: the bar has its own colour.
    assert abs(frames[3].image[frames[3].mask].mean() - 75) < 4


@pytest.mark.parametrize(
    ("photos", "settings"),
    [
        (ALIKE, {}),
        ([photo(angle, long=60, wide=60) for angle in range(0, 180, 15)], {}),
        ([np.random.default_rng(i).integers(0, 255, (200, 320, 3), np.uint8) for i in range(4)], {}),
        (VARIOUS, {"upright": False}),
        (VARIOUS, {"center_crop": 0.8}),
    ],
)
def test_other_photos_are_taken_whole(photos: Sequence[np.ndarray], settings: dict[str, Any]) -> None:
    found = preprocess(photos, **settings)
    assert found.upright is False
    assert found.size == (96, 160)  # in the proportions of the photos, 200 x 320


def test_a_square_frame_is_kept_where_proportions_are_not_asked_for() -> None:
    assert preprocess(VARIOUS, keep_aspect=False).size == 128
    assert preprocess(VARIOUS, size=(96, 64)).size == (96, 64)


def test_fasteners_of_one_kind_have_a_frame_of_their_proportions_mixed_ones_a_square() -> None:
    assert preprocess(VARIOUS, enabled=True).size == (224, 64)
    assert preprocess(VARIOUS, enabled=True, align=False).size == (128, 128)
    mixed = [photo(angle, long=long) for angle, long in zip(range(0, 180, 15), [40, 90, 160] * 4, strict=True)]
    assert preprocess(mixed, enabled=True).size == (128, 128)


@pytest.mark.parametrize(("photos", "enabled"), [(VARIOUS, True), (ALIKE, False), (ALIKE[:5], True)])
def test_parts_are_searched_for_unless_they_lie_in_place(photos: Sequence[np.ndarray], enabled: bool) -> None:
    found = preprocess(photos, enabled=None)
    assert found.enabled is enabled
    assert found.upright is False
    assert preprocess(photos, enabled=True).enabled
    assert not preprocess(photos, enabled=False).enabled


@pytest.mark.parametrize("photos", [VARIOUS, ALIKE])
def test_parts_that_are_to_be_turned_are_turned_and_their_light_is_left(photos: Sequence[np.ndarray]) -> None:
    asked = preprocess(photos, enabled=None, upright=True)
    assert (asked.enabled, asked.upright) == (False, True)
    found = preprocess(photos, enabled=True, upright=True)
    assert (found.enabled, found.upright) == (True, False)


def test_a_model_of_parts_in_place_judges_the_whole_photo() -> None:
    grain = np.random.default_rng(0)
    photos = [np.clip(ALIKE[0] + grain.normal(0, 9, ALIKE[0].shape), 0, 255).astype(np.uint8) for _ in range(12)]
    model = Inspector.fit(photos, tiny_config(), report=False)
    assert "the whole photo" in model.describe()
    assert "colour" not in model.evidence
    stained = photos[0].copy()
    stained[:40, 200:] = (30, 30, 160)  # far from the part
    scores = [one.score for one in model.inspect([stained, *photos]) if isinstance(one, Inspection)]
    assert scores[0] > max(scores[1:])


@pytest.mark.parametrize(
    ("settings", "seen"),
    [
        ({"enabled": True}, "the part, cut out of the photo and turned upright,"),
        ({"enabled": True, "align": False}, "the part, cut out of the photo,"),
        ({"enabled": False, "upright": True}, "the part, cut out of the photo and turned upright,"),
        ({"enabled": False, "center_crop": 0.8}, "the centre of the photo,"),
    ],
)
def test_a_model_says_what_it_sees(settings: dict[str, Any], seen: str) -> None:
    model = Inspector.fit(VARIOUS, tiny_config(preprocess=settings, evidence=("filters",)), report=False)
    assert f"seen: {seen}" in model.describe()


def test_few_photos_are_looked_at_where_none_shows_a_part_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    texture = [np.random.default_rng(i).integers(0, 255, (64, 64, 3), np.uint8) for i in range(30)]

    def counting(*arguments: Any) -> Any:
        seen.append(1)
        return reading.decode(*arguments)

    monkeypatch.setattr(photo_settings, "decode", counting)
    preprocess(texture)
    assert len(seen) == 2
