"""Models that were saved by earlier versions load, and give the scores and thresholds that they gave then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from data_factory import part, parts, tiny_config

from fastener.inspection.inspector import Inspector
from fastener.inspection.model_state import state_of
from fastener.inspection.result import Inspection
from fastener.models.runtime.storage import save_state, with_tensors

NEW = {
    "": ("names", "disturbed", "input_check", "report", "notes"),
    "config.model": ("top_share",),
    "config.preprocess": ("keep_aspect", "upright"),
    "config.calibration": ("threshold", "look_band"),
    "decision": ("method", "weights", "groups", "healthy_peaks"),
}


def as_then(state: dict[str, Any]) -> dict[str, Any]:
    """Take out of a model's state what earlier versions did not write."""
    for place, names in NEW.items():
        section = state
        for name in place.split(".") if place else ():
            section = section[name]
        for name in names:
            del section[name]
    return state


def write(state: dict[str, Any], path: Path, form: int) -> None:
    """Write a model's file as format 1, an archive alone, or 2."""
    if form == 2:
        save_state(state, path)
    else:
        torch.save({"kind": "fastener-anomaly-detection", "format": 1, "state": with_tensors(state)}, path)


@pytest.fixture(scope="module")
def trained_then() -> Inspector:
    """A model by the rules of that time: equation 7, the conformal threshold, equal weights."""
    config = tiny_config(model={"top_share": None}, calibration={"threshold": "conformal", "alpha": 0.01})
    return Inspector.fit(parts(10), config, preprocess__keep_aspect=False)


@pytest.mark.parametrize("form", [1, 2])
def test_scores_and_threshold_are_what_they_were(trained_then: Inspector, form: int, tmp_path: Path) -> None:
    write(as_then(state_of(trained_then)), tmp_path / "model.pkl", form)
    loaded = Inspector.load(tmp_path / "model.pkl", "cpu")
    assert (loaded.check, loaded.report, loaded.notes) == (None, None, {})
    settings = loaded.config
    assert (settings.model.top_share, settings.calibration.threshold) == (None, "conformal")
    assert not settings.preprocess.keep_aspect
    # The highest of ten healthy scores, which vouch for one in eleven.
    assert loaded.threshold == loaded.decision.healthy_joined.max()
    assert loaded.decision.threshold() == (loaded.threshold, pytest.approx(1 / 11))
    for photo in (part(50), part(51, "rust")):
        (then,), (now,) = trained_then.inspect(photo), loaded.inspect(photo)
        assert isinstance(then, Inspection)
        assert isinstance(now, Inspection)
        assert now.score == then.score
        assert (now.verdict, now.threshold) == (then.verdict, then.threshold)
        assert now.map.tobytes() == then.map.tobytes()
        assert now.regions == then.regions


def test_an_old_model_learns_more_by_its_own_rules(trained_then: Inspector, tmp_path: Path) -> None:
    write(as_then(state_of(trained_then)), tmp_path / "model.pkl", 2)
    loaded = Inspector.load(tmp_path / "model.pkl", "cpu")
    loaded.partial_fit([part(60), part(61)])
    assert loaded.new_photos_ == 2
    assert loaded.decision.threshold() == (loaded.decision.healthy_joined.max(), pytest.approx(1 / 13))
    assert "12 healthy photos, 12 of them different" in loaded.describe()
