"""An exported model inspects without torch, and gives the scores that it gives with torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from data_factory import ROOT, parts, run_inside, tiny_config, write_photos

from fastener.common.errors import UserError
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Inspection
from fastener.models.feature_extractor import FeatureExtractor
from fastener.runtime import load
from fastener.runtime.loading import can_load

pytestmark = pytest.mark.slow

NO_TORCH = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "timm"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""


@pytest.fixture(scope="module")
def exported(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of filters, colour and shape."""
    folder = tmp_path_factory.mktemp("exported") / "model-fp32"
    done = run_inside("export.py", "--model", model_file, "--output", folder)
    assert done.returncode == 0, done.stderr
    return folder


def compare(ours: list[object], theirs: list[object]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert isinstance(one, Inspection)
        assert isinstance(other, Inspection)
        assert one.score == pytest.approx(other.score, rel=1e-3)
        assert one.verdict == other.verdict
        assert one.p_value == other.p_value
        np.testing.assert_allclose(one.map, other.map, atol=1e-3 * float(np.abs(other.map).max()))
        assert [kind.note for kind in one.evidence.values()] == [kind.note for kind in other.evidence.values()]


def test_every_kind_scores_alike(exported: Path) -> None:
    images = [*parts(3, 100), *parts(2, 200, "rust"), *parts(1, 300, "bend")]
    theirs = Inspector.load(exported, "cpu")
    ours = load(exported)
    assert (ours.threshold, ours.threshold_source) == (theirs.threshold, theirs.threshold_source)
    assert ours.alpha == theirs.alpha
    compare(list(ours.inspect(images)), list(theirs.inspect(images)))


@pytest.mark.parametrize("model", [{"top_share": None}, {"per_position": True}, {"line_length": 24}])
def test_every_rule_of_the_score_is_the_same(
    model: dict[str, object], exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = Inspector.fit(parts(8), tiny_config(model=model, evidence=("filters",)))
    # The graph of the features does not depend on the rule; making one takes seconds.
    fitted.evidence["filters"].feature_graph = None  # type: ignore[attr-defined]
    fitted.save(tmp_path / "model.pkl")
    with pytest.raises(UserError, match=r"run export\.py where PyTorch is"):
        load(tmp_path / "model.pkl")

    def by_torch(self: object, images: np.ndarray) -> np.ndarray:
        extractor = fitted.evidence["filters"].extractor  # type: ignore[attr-defined]
        assert isinstance(extractor, FeatureExtractor)
        return extractor(images).numpy()

    monkeypatch.setattr("fastener.runtime.evidence.Features.__init__", lambda self, state: None)
    monkeypatch.setattr("fastener.runtime.evidence.Features.__call__", by_torch)
    fitted.evidence["filters"].feature_graph = Inspector.load(exported, "cpu").evidence["filters"].feature_graph  # type: ignore[attr-defined]
    fitted.save(tmp_path / "model.pkl")
    images = [*parts(2, 100), *parts(2, 200, "rust")]
    compare(list(load(tmp_path / "model.pkl").inspect(images)), list(fitted.inspect(images)))


def test_inference_runs_where_torch_is_missing(exported: Path, model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_TORCH, encoding="utf-8")
    write_photos(tmp_path / "new", [*parts(2, 100), *parts(1, 200, "rust")])
    flags = ["--dir", str(tmp_path / "new"), "--json", "--visualize", "--output", str(tmp_path / "out")]

    def inference(model: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "inference.py"), *flags, "--model", str(model)]
        return subprocess.run(
            command, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=120
        )

    done = inference(exported)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out/results.json").read_text(encoding="utf-8"))
    theirs = Inspector.load(exported, "cpu").inspect(tmp_path / "new")
    for one, other in zip(found, theirs, strict=True):
        assert isinstance(other, Inspection)
        assert one["score"] == pytest.approx(other.score, rel=1e-3, abs=1e-4)
    assert len(list((tmp_path / "out").glob("overlay_*.png"))) == 3
    refused = inference(model_file)
    assert refused.returncode == 2
    assert "PyTorch is not installed; without it models are folders that export.py wrote" in refused.stderr


def test_only_an_exported_folder_can_be_opened(exported: Path, model_file: Path, tmp_path: Path) -> None:
    assert can_load(exported)
    assert not can_load(model_file)
    assert not can_load(tmp_path)
