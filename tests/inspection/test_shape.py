"""Shape as evidence: deformed parts are flagged with a place and in words, unseen shapes never are."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from data_factory import tiny_config
from drawn_parts import BOLT, HEXAGON, draw, plain_ground, prepare

from fastener.config import Config
from fastener.inspection.evidence_base import Setup
from fastener.inspection.inspector import Inspector
from fastener.inspection.model_state import state_of
from fastener.inspection.result import Inspection
from fastener.inspection.shape import ShapeEvidence
from fastener.inspection.tables import record, verdict
from fastener.inspection.training import with_settings
from fastener.models.runtime.device import resolve_device
from fastener.preprocessing.pipeline import Prepared

CONFIG = tiny_config(preprocess={"enabled": True, "size": 128}, evidence=("filters", "shape"))


def bolts(count: int, first: int = 0) -> list[np.ndarray]:
    """Photos of sound bolts and nuts in turn, each a little longer, wider and turned."""
    photos = []
    for i in range(first, first + count):
        rng = np.random.default_rng(i)
        outline = (BOLT, HEXAGON)[i % 2] * rng.normal(1, 0.01, 2)
        photos.append(draw(outline, degrees=float(rng.uniform(0, 20))))
    return photos


def bent(degrees: float) -> np.ndarray:
    """The bolt with its shank bent at the middle."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    tip = (np.array([[14, 75], [-14, 75]]) - [0, 20]) @ turn + [0, 20]
    right, left = np.array([[14.0, 20.0]]), np.array([[-14.0, 20.0]])
    return np.concatenate([BOLT[:4], right, tip, left, BOLT[6:]])


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    return Inspector.fit(bolts(24), CONFIG, groups=range(24), warn=lambda line: None)  # drawn parts look like copies


def inspected(inspector: Inspector, photo: np.ndarray) -> Inspection:
    result = inspector.inspect([photo])[0]
    assert isinstance(result, Inspection)
    return result


def test_it_is_a_default_whether_parts_are_sought_or_not() -> None:
    assert ShapeEvidence.is_default(Config(), "filters")
    assert ShapeEvidence.is_default(Config.model_validate({"preprocess": {"enabled": False}}), "filters")


def test_photos_that_show_no_part_teach_nothing_and_are_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = ShapeEvidence(Setup(CONFIG, resolve_device("cpu"), "filters"))
    looked: list[Prepared] = []

    def nothing(prepared: Prepared) -> str:
        looked.append(prepared)
        return "no part was found"

    monkeypatch.setattr("fastener.inspection.shape.seen_shape", nothing)
    texture = prepare(plain_ground(), size=128)
    shape.collect_features([texture] * 40)
    assert len(looked) < 30
    assert (shape.fit_collected(range(40)).images == 0).all()
    assert shape.healthy is None
    assert shape.says_nothing


def test_a_model_of_textures_decides_without_shape() -> None:
    textures = [np.random.default_rng(seed).integers(90, 160, (96, 96, 3), dtype=np.uint8) for seed in range(12)]
    said: list[str] = []
    whole = with_settings(CONFIG, {"preprocess__enabled": False})
    decided = {}
    for kinds in (("filters", "shape"), ("filters",)):
        model = Inspector.fit(textures, with_settings(whole, {"evidence": kinds}), warn=said.append)
        assert set(model.evidence) == {"filters"}
        decided[kinds] = (model.threshold, model.decision.healthy_joined.tolist())
    assert decided["filters", "shape"] == decided["filters",]
    assert sum("evidence shape found nothing to judge" in line for line in said) == 1


def test_a_bent_bolt_is_flagged_with_a_place_and_in_words(inspector: Inspector) -> None:
    result = inspected(inspector, draw(bent(15), degrees=10))
    assert result.is_anomalous
    assert result.regions
    figures = result.evidence["shape"].figures
    assert figures["bend"] == pytest.approx(15, abs=2.5)
    assert figures["bend"] > figures["usual_bend"] + 5
    assert "bent by" in result.evidence["shape"].note
    assert "; shape: " in verdict(result)
    assert "bent by 1" in verdict(result)
    entry = json.loads(json.dumps(record(result)))
    assert entry["evidence"]["shape"]["figures"]["bend"] == figures["bend"]
    # The map is highest at the shank's far half: the box reaches the tip.
    rows, columns = np.nonzero(result.map == np.nanmax(result.map))
    assert rows.mean() > result.map.shape[0] / 2
    assert columns.size


def test_another_kind_of_part_is_not_seen(inspector: Inspector) -> None:
    washer = 60 * np.stack([np.cos(t := np.linspace(0, 6.28, 90)), 0.6 * np.sin(t)], axis=1)
    result = inspected(inspector, draw(washer))
    assert result.is_anomalous
    assert result.evidence["shape"].note.startswith("kind not seen among the healthy parts")
    assert result.evidence["shape"].figures["kind_not_seen"] == 1


def test_in_a_whole_photo_a_new_kind_is_marked_along_its_outline_only(inspector: Inspector) -> None:
    washer = 60 * np.stack([np.cos(t := np.linspace(0, 6.28, 90)), 0.6 * np.sin(t)], axis=1)
    prepared = prepare(draw(washer), size=128)
    shape = inspector.evidence["shape"]
    of_part = shape.score([prepared]).maps[0]
    assert ((of_part > 0) == prepared.mask).all()  # a part that was sought is marked as a whole
    of_photo = shape.score([replace(prepared, mask=np.ones_like(prepared.mask))]).maps[0]
    assert of_photo.max() > 0
    far = cv2.dilate(prepared.mask.astype(np.uint8), np.ones((15, 15))) == 0
    inside = cv2.erode(prepared.mask.astype(np.uint8), np.ones((15, 15))) == 1
    assert inside.any()
    assert of_photo[far | inside].max() == 0


def test_sound_parts_pass_and_say_nothing(inspector: Inspector) -> None:
    results = [inspected(inspector, photo) for photo in bolts(8, first=100)]
    assert sum(one.evidence["shape"].note != "" for one in results) <= 1


@pytest.mark.parametrize(
    ("photo", "why"),
    [
        (draw(BOLT, centre=(180.0, 20.0)), "the part is cut off by the photo's border"),
        (draw(BOLT, centre=(60.0, 150.0), ground=draw(BOLT, centre=(280.0, 150.0))), "several pieces"),
        (plain_ground(), "no part was found"),
    ],
    ids=["cut", "two", "nothing"],
)
def test_an_unseen_shape_is_never_flagged(inspector: Inspector, photo: np.ndarray, why: str) -> None:
    shape = inspector.evidence["shape"]
    scores = shape.score([inspector.preprocessor(photo)])
    assert scores.images[0] == 0
    assert scores.maps.max() == 0
    assert scores.notes == (f"not judged: {why}",)


@pytest.mark.parametrize("fill", ["nothing", "pixel", "everything"])
def test_masks_of_nothing_a_pixel_and_everything(inspector: Inspector, fill: str) -> None:
    prepared: Prepared = prepare(draw(BOLT), size=128)
    mask = np.full_like(prepared.mask, fill == "everything")
    mask[64, 64] = fill != "nothing"
    scores = inspector.evidence["shape"].score([replace(prepared, mask=mask)])
    assert np.isfinite(scores.images).all()
    # A mask of everything says that no part was sought: it is then sought in the frame, and is the sound bolt.
    assert scores.notes[0] == ("" if fill == "everything" else "not judged: the part is too small")


def test_saved_and_loaded_it_scores_the_same(inspector: Inspector, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("model") / "model.pkl"
    inspector.save(path)
    loaded = Inspector.load(path, "cpu")
    photo = draw(bent(9))
    assert inspected(loaded, photo).evidence["shape"] == inspected(inspector, photo).evidence["shape"]
    assert set(state_of(loaded)["evidence"]) == {"filters", "shape"}


def test_few_or_unseen_parts_teach_nothing() -> None:
    shape = ShapeEvidence(Setup(CONFIG, resolve_device("cpu"), "filters"))
    shape.collect_features([prepare(photo, size=128) for photo in bolts(5)])
    learned = shape.fit_collected(range(5))
    assert (learned.images == 0).all()
    assert not shape.says_nothing  # more photos may come
    scores = shape.score([prepare(draw(bent(20)), size=128)])
    assert scores.images[0] == 0
    assert scores.notes == ("not judged: too few healthy outlines were learned",)
    restored = ShapeEvidence(Setup(CONFIG, resolve_device("cpu"), "filters"))
    restored.restore(shape.state())
    assert restored.healthy is None


def test_more_photos_can_be_learned() -> None:
    shape = ShapeEvidence(Setup(CONFIG, resolve_device("cpu"), "filters"))
    shape.collect_features([prepare(photo, size=128) for photo in bolts(10)])
    shape.fit_collected(range(10))
    shape.collect_features([prepare(photo, size=128) for photo in bolts(2, first=50)])
    assert shape.fit_collected([0, 1]).images.shape == (2,)
    assert shape.healthy is not None
    assert len(shape.healthy.groups_) == 12
