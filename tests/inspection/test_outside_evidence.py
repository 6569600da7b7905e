"""A kind of evidence that is registered from outside: settings, scripts, files, console and latency report take it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_factory import FLAGS, run_inside, tiny_config

from fastener.common.errors import UserError
from fastener.common.settings import known_settings
from fastener.config import Config, load_config
from fastener.console.catalogue import Catalogue
from fastener.evaluation.latency import measure_latency
from fastener.inspection.choice import choose
from fastener.inspection.evidence_base import Evidence
from fastener.inspection.inspector import Inspector
from fastener.inspection.registry import EVIDENCE
from fastener.inspection.result import Inspection
from fastener.models.scores import HealthyScores, Scores
from fastener.preprocessing.pipeline import Prepared


class BrightnessEvidence(Evidence):
    """Score the difference of a part's mean grey from the mean of the healthy parts."""

    family = "brightness"
    in_shards = False

    @classmethod
    def is_default(cls, config: Config, backbone: str) -> bool:
        return config.preprocess.background == 77

    def collect_features(self, batch: Sequence[Prepared]) -> None:
        self._greys = getattr(self, "_greys", []) + [float(one.image.mean()) for one in batch]

    def fit_collected(self, groups: Sequence[int]) -> HealthyScores:
        self.mean_ = float(np.mean(self._greys))
        scores = np.abs(np.array(self._greys, np.float32) - self.mean_)
        return HealthyScores(scores, scores)

    def score(self, batch: Sequence[Prepared]) -> Scores:
        scores = np.array([abs(float(one.image.mean()) - self.mean_) for one in batch], np.float32)
        return Scores(
            scores,
            np.stack([np.full(one.image.shape[:2], s, np.float32) for one, s in zip(batch, scores, strict=True)]),
        )

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean_}

    def restore(self, state: dict[str, Any]) -> None:
        self.mean_ = state["mean"]


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    EVIDENCE["brightness"] = BrightnessEvidence
    yield
    del EVIDENCE["brightness"]


def test_settings_take_it_and_say_so() -> None:
    config = load_config(flags={"evidence": ("brightness", "filters")})
    assert choose(config).kinds == ("brightness", "filters")
    assert "brightness" in known_settings(Config)["evidence"]
    with pytest.raises(UserError, match=r"evidence.*'brightnes' is not allowed: .*subspace, brightness"):
        load_config(flags={"evidence": ("brightnes",)})


def test_it_is_a_default_where_it_says_so() -> None:
    assert choose(tiny_config()).kinds == ("filters", "colour", "shape")
    assert choose(tiny_config(preprocess={"background": 77})).kinds == ("filters", "colour", "shape", "brightness")


def test_scripts_train_save_load_and_inspect(good_photos: list[Path], tmp_path: Path) -> None:
    model, output = tmp_path / "model.pkl", tmp_path / "results"
    assert "brightness" in run_inside("train.py", "--help").stdout
    kinds = ("--evidence", "filters,brightness")
    done = run_inside("train.py", "--images", good_photos[0].parent, "--output", model, *FLAGS, *kinds)
    assert done.returncode == 0, done.stderr
    done = run_inside("inference.py", "--model", model, "--image", good_photos[0], "--output", output, "--json")
    assert done.returncode == 0, done.stderr
    (entry,) = json.loads((output / "results.json").read_text(encoding="utf-8"))
    assert set(entry["evidence"]) == {"filters", "brightness"}


def test_console_and_latency_report_take_it(good_photos: list[Path], tmp_path: Path) -> None:
    config = tiny_config(evidence=("brightness", "filters"))
    path = tmp_path / "nut.pkl"
    Inspector.fit(good_photos, config).save(path)
    catalogue = Catalogue(
        tmp_path, device="cpu", run=config.run, memory_mb=100, saved_threshold=lambda category, version: None
    )
    served = catalogue.load("nut")
    assert isinstance(served.inspector, Inspector)
    result = served.inspector.inspect(good_photos[:1])[0]
    assert isinstance(result, Inspection)
    assert "brightness" in result.evidence
    report = measure_latency(served.inspector, good_photos[:2], lambda _: None, warm_up=1)
    assert {"brightness", "search", "backbone (filters)"} <= set(report.stages)
