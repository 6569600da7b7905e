"""The check of a GPU, dry on a CPU: it runs through, and writes one JSON in which the CPU agrees with itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from data_factory import ROOT

from fastener.benchmarks import gpu_check


@pytest.mark.slow
def test_the_dry_run_writes_one_report(tmp_path: Path) -> None:
    command = [str(ROOT / "benchmarks/gpu_check.sh"), str(tmp_path / "report.json")]
    environment = {**os.environ, "DEVICE": "cpu", "PYTHON": sys.executable}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["passed"]
    assert report["tests"] == "not run"
    assert report["parity"] == {"scores": 0.0, "search": 0.0, "coreset": 0.0}
    assert [row["precision"] for row in report["precisions"]] == ["fp32", "bf16"]
    assert all(row["ms_a_photo"] > 0 for row in report["precisions"])
    assert 0 == report["precisions"][0]["features_move"] < report["precisions"][1]["features_move"] < 0.05


def test_a_worse_selection_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    radii = iter((1.0, 1.01))
    monkeypatch.setattr(gpu_check, "cover_radius", lambda *_: next(radii))
    assert gpu_check.coreset_differs(torch.device("cpu"), patches=40) == pytest.approx(0.01)
