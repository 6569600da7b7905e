"""Every setting of open-set recognition does something, and the files in configs/open_set are the defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from steel_factory import write_neu, write_severstal, write_weights

from fastener.common.errors import UserError
from fastener.common.settings import known_settings
from fastener.datasets.neu import CLASSES
from fastener.open_set.pipeline import Pipeline
from fastener.open_set.report import default_score
from fastener.open_set.settings import OpenSetSettings, load_open_set

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {
    "classifier.backbone": "resnet18",
    "classifier.mode": "frozen",
    "classifier.size": 32,
    "steel.backbone": "filters",
    "steel.size": 32,
    "steel.coreset_ratio": 0.05,
    "run.device": "cpu",
    "run.workers": 0,
}
TUNED = {"classifier.mode": "fine_tuned", "classifier.epochs": 1}
SCRATCH = {"classifier.mode": "scratch", "classifier.scratch_epochs": 1}
# Setting -> (settings to start from, another value). The decisions of split a must then come out otherwise.
CHANGES: dict[str, tuple[dict[str, Any], Any]] = {
    "data.validation": ({}, 0.4),
    "data.test": ({}, 0.1),
    "classifier.mode": ({}, "scratch"),
    "classifier.size": ({}, 48),
    "classifier.layers": ({}, ["layer3"]),
    "classifier.tune_from": (TUNED, "layer2"),
    "classifier.epochs": (TUNED, 2),
    "classifier.learning_rate": (TUNED, 1e-2),
    "classifier.scratch_epochs": (SCRATCH, 2),
    "classifier.scratch_learning_rate": (SCRATCH, 1e-2),
    "rejection.alpha": ({}, 0.3),
    "rejection.components": ({}, 2),
    "rejection.neighbours": ({}, 1),
    "rejection.use_confidence": ({}, False),
    "run.seed": ({}, 7),
    "run.batch_size": (TUNED, 4),
}
STEEL: dict[str, Any] = {
    "steel.size": 48,
    "steel.coreset_ratio": 0.5,
    "steel.alpha": 0.5,
    "steel.calibration": 0.2,
    "steel.test": 0.4,
}
# What only says where or on what to compute, and what other tests are about.
ELSEWHERE = {
    "data.neu_root", "data.severstal_root", "weights", "output", "splits", "run.device", "run.workers", "run.precision",
    "run.runtime",
    "run.memory_limit_mb",
    "classifier.backbone", "steel.backbone", "rejection.score", "known", "unknown",
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("steel")
    write_neu(folder / "neu", 10)
    write_severstal(folder / "severstal", 15, 2)
    write_weights(folder / "resnet18.npz")
    return folder


def pipeline(home: Path, output: Path, **changes: Any) -> Pipeline:
    flags = {
        **SMALL,
        "data.neu_root": home / "neu",
        "data.severstal_root": home / "severstal",
        "weights": home / "resnet18.npz",
        "output": output,
        "splits": ["a"],
        **changes,
    }
    return Pipeline(*load_open_set(flags=flags))


def fingerprint(one: Pipeline, gate: bool) -> list[Any]:
    """All scores and thresholds; those of PatchCore only if ``gate``."""
    if gate:
        scores = one.gate_scores()
        return [*np.round(scores.neu, 5), len(scores.test_normal), scores.threshold]
    decisions = [*one.run_osr("a")]
    if one.settings.rejection.use_confidence:
        decisions += one.run_cascade("a")
    return [value for one in decisions for value in (*np.round(one.scores, 5), one.threshold, one.score)]


def test_every_setting_is_tried() -> None:
    assert {*CHANGES, *STEEL, *ELSEWHERE} == set(known_settings(OpenSetSettings))


@pytest.fixture(scope="module")
def before(home: Path) -> dict[str, list[Any]]:
    """What comes out without a change, by what it starts from."""
    bases = {"frozen": {}, "fine_tuned": TUNED, "scratch": SCRATCH}
    found = {name: fingerprint(pipeline(home, home / name, **base), False) for name, base in bases.items()}
    return {**found, "gate": fingerprint(pipeline(home, home / "frozen"), True)}


@pytest.mark.parametrize("key", CHANGES)
def test_a_changed_setting_changes_decisions(key: str, home: Path, before: dict[str, Any], tmp_path: Path) -> None:
    base, value = CHANGES[key]
    after = fingerprint(pipeline(home, tmp_path, **{**base, key: value}), False)
    assert after != before[base.get("classifier.mode", "frozen")]


@pytest.mark.parametrize("key", STEEL)
def test_a_changed_setting_changes_patchcore(key: str, home: Path, before: dict[str, Any], tmp_path: Path) -> None:
    assert fingerprint(pipeline(home, tmp_path, **{key: STEEL[key]}), True) != before["gate"]


def test_a_changed_setting_is_noticed_by_the_steps_in_the_same_folder(home: Path, before: dict[str, Any]) -> None:
    """Not taken from the files of another setting; and those of the first are computed again, not mixed up."""
    changed = fingerprint(pipeline(home, home / "frozen", **{"rejection.neighbours": 1}), False)
    assert changed != before["frozen"]
    assert fingerprint(pipeline(home, home / "frozen"), False) == before["frozen"]


def test_the_default_score_is_the_one_that_is_set() -> None:
    rejection = OpenSetSettings().rejection
    assert default_score("one_stage", "knn", rejection) == "knn"
    assert default_score("two_stage", "knn", rejection) == "knn+max_softmax"
    assert default_score("two_stage", "combined", rejection) == "combined"
    alone = rejection.model_copy(update={"use_confidence": False})
    assert default_score("two_stage_plain", "knn", alone) == "knn"


def test_the_file_holds_the_defaults() -> None:
    settings, splits = load_open_set()
    assert settings == OpenSetSettings()
    assert list(splits) == ["a", "b", "c"]
    assert sorted(name for split in splits.values() for name in split.unknown) == sorted(CLASSES)
    assert all(sorted([*split.known, *split.unknown]) == sorted(CLASSES) for split in splits.values())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"known": ["a", "b"], "unknown": ["b"]}, "class b is named twice"),
        ({"known": ["a"], "unknown": ["b"]}, "at least two"),
        ({"unknown": ["a", "b"]}, "known is missing"),
        ({"known": ["a", "b"], "unkown": ["c"]}, "'unknown'"),
    ],
)
def test_splits_that_are_refused(content: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("splits: [x]\n")
    (tmp_path / "neu_split_x.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=message):
        load_open_set(tmp_path / "mine.yaml")


def test_a_split_is_a_settings_file_by_itself(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("known: [dent, stain]\nunknown: [hole]\n")
    settings, splits = load_open_set(tmp_path / "mine.yaml")
    assert settings.splits == ("mine",)
    assert splits["mine"].known == ("dent", "stain")
    _, flagged = load_open_set(flags={"known": ["dent", "stain"]})
    assert flagged["own"].unknown == ()
