"""The threshold search on splits without categories: chosen on one split, reported with its comparison."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from data_factory import run_inside

from fastener.inspection.inspector import Inspector

SMALL = ("--evidence", "filters,colour", "--device", "cpu", "--set", "preprocess.size=96", "--alpha", "0.1")


@pytest.fixture(scope="module")
def model(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.pkl"
    done = run_inside("train.py", "--data-dir", data_dir, *SMALL, "--output", path)
    assert done.returncode == 0, done.stderr
    return path


def test_a_search_on_the_validation_split_is_reported(model: Path, data_dir: Path, tmp_path: Path) -> None:
    command = ("evaluate.py", "--model", model, "--data-dir", data_dir, "--output", tmp_path, "--no-plots")
    done = run_inside(*command, "--split", "valid", "--optimize-threshold", "--max-false-alarms", "0.4")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    search = metrics["threshold_search"]
    assert search["data"] == "5 photos of validation data"
    assert search["chosen"]["false_positive_rate"] <= 0.4
    assert f"shipped threshold {search['shipped_threshold']:.4g}" in done.stdout
    assert "expected on new photos" in done.stdout
    saved = Inspector.load(model.with_name("model-threshold.pkl"))
    assert saved.threshold == search[f"{search['taken']}_threshold"]
    assert "at most 40.0% false alarms on 5 photos of validation data" in saved.threshold_source
    # The split that the search saw is reported as the model shipped.
    assert metrics["threshold"] == search["shipped_threshold"] == Inspector.load(model).threshold


def test_test_photos_can_be_kept_back_without_categories(model: Path, data_dir: Path, tmp_path: Path) -> None:
    command = ("evaluate.py", "--model", model, "--data-dir", data_dir, "--output", tmp_path, "--no-plots")
    refused = run_inside(*command, "--optimize-threshold")
    assert refused.returncode == 2
    assert "--validate-share" in refused.stderr
    done = run_inside(*command, "--optimize-threshold", "--validate-share", "0.5", "--seed", "3")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["n_images"] + metrics["n_validation"] == 8
    assert "--validate-share 0.5, seed 3" in done.stdout
    assert "at the shipped threshold" in done.stdout
    assert (tmp_path / "validation_scores.npz").is_file()
    assert "--validate-share 0.5, seed 3" in metrics["protocol"]
