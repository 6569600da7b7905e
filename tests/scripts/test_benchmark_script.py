"""benchmark.py latency: stages on the real code path that add up, a verdict by the target, and nothing left behind."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastener import benchmark
from fastener.benchmarks.machine import Machine
from fastener.common.errors import UserError
from fastener.config import load_config
from fastener.datasets.synthetic.parts import render_part
from fastener.evaluation.latency import Latency, Stopwatch, measure_latency
from fastener.inspection import reading
from fastener.inspection.decision import Decision
from fastener.inspection.drawing import save_picture
from fastener.inspection.evidence import StructureEvidence
from fastener.inspection.inspector import Inspector
from fastener.inspection.result import Inspection
from fastener.models.patchcore import PatchCore

STAGES = ["decode", "preprocess", "backbone (filters)", "search", "map", "colour", "write", "other"]


class StepClock:
    """Every look at it takes one second."""

    def __init__(self) -> None:
        self._ticks = count()

    def __call__(self) -> float:
        return float(next(self._ticks))


def core_of(inspector: Inspector) -> PatchCore:
    evidence = inspector.evidence["filters"]
    assert isinstance(evidence, StructureEvidence)
    return evidence.patchcore


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    config = load_config(
        None,
        ["preprocess.size=64", "model.coreset_ratio=0.1", "run.device=cpu"],
        {"evidence": ["filters", "colour"]},
    )
    return Inspector.fit([render_part(seed, size=(96, 96)).image for seed in range(6)], config)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "photos" / f"{seed}.png" for seed in (10, 11)]
    for seed, path in enumerate(paths, 10):
        save_picture(render_part(seed, size=(96, 96)).image, path, is_photo=True)
    return paths


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, inspector: Inspector, tmp_path: Path) -> Callable[..., int]:
    """Run ``benchmark.py latency`` on the saved inspector."""
    model = tmp_path / "model.pkl"
    inspector.save(model)
    monkeypatch.setattr("fastener.benchmarks.machine.measure_machine", lambda device: Machine("a machine", 2, 1e9, 1e9))

    def run(*flags: Any) -> int:
        monkeypatch.setattr(sys, "argv", ["benchmark.py", "latency", "--model", str(model), *map(str, flags)])
        return benchmark.main()

    return run


def test_stopwatch_gives_inner_time_to_the_inner_stage_only() -> None:
    times = iter([0.0, 2.0, 5.0, 6.0, 10.0])
    watch = Stopwatch(lambda: next(times))
    with watch.stage("outer"):  # 0 to 10
        with watch.stage("inner"):  # 2 to 5
            pass
        watch.clock()  # 6: someone else looks
    assert watch.seconds == {"outer": 7.0, "inner": 3.0}


def test_stopwatch_counts_a_stage_that_raises() -> None:
    watch = Stopwatch(StepClock())
    with pytest.raises(ValueError, match="inside"), watch.stage("outer"), watch.stage("inner"):
        raise ValueError("inside")
    assert watch.seconds == {"inner": 1.0, "outer": 2.0}


def test_all_stages_are_found_and_add_up(inspector: Inspector, photos: list[Path]) -> None:
    latency = measure_latency(inspector, photos, lambda result: None, repeat=2, warm_up=1, clock=StepClock())
    assert sorted(latency.stages) == sorted(STAGES)
    assert all(len(seconds) == len(latency.total) == 4 for seconds in latency.stages.values())
    np.testing.assert_allclose(sum(latency.stages.values()), latency.total)
    assert all((seconds > 0).all() for seconds in latency.stages.values())


def test_measuring_changes_no_result_and_leaves_nothing_behind(inspector: Inspector, photos: list[Path]) -> None:
    plain = [result for result in inspector.inspect(photos) if isinstance(result, Inspection)]
    before = (vars(reading)["read_photo"], inspector.preprocessor, Decision.join_maps, dict(vars(inspector)))
    core = core_of(inspector)
    extractor, own = core.extractor, set(vars(core.bank_))
    measured: list[Inspection] = []
    measure_latency(inspector, photos, measured.append, warm_up=0)
    assert [result.score for result in measured] == pytest.approx([result.score for result in plain], rel=1e-5)
    assert [result.path for result in measured] == photos
    assert before == (vars(reading)["read_photo"], inspector.preprocessor, Decision.join_maps, dict(vars(inspector)))
    assert core.extractor is extractor
    assert set(vars(core.bank_)) == own


def test_warm_up_is_not_counted_but_run(inspector: Inspector, photos: list[Path]) -> None:
    written: list[Inspection] = []
    latency = measure_latency(inspector, photos, written.append, warm_up=3)
    assert (len(latency.total), len(written)) == (2, 5)


def test_a_photo_that_cannot_be_read_is_one_clear_line(inspector: Inspector, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"broken\.png"):
        measure_latency(inspector, [broken], lambda result: None)
    assert "search" not in vars(core_of(inspector).bank_)


def test_summary_by_hand() -> None:
    total = np.arange(1, 102) / 1000  # 1 to 101 ms: percentile p is p + 1 ms
    stages = {"search": total * 0.75, "other": total * 0.25}
    summary = Latency(total, stages).summary(target_ms=96.5)
    assert summary["p50_ms"] == pytest.approx(51)
    assert summary["p95_ms"] == pytest.approx(96)
    assert summary["p99_ms"] == pytest.approx(100)
    assert summary["passed"] is True
    assert Latency(total, stages).summary(target_ms=95.5)["passed"] is False
    assert {name: stage["share"] for name, stage in summary["stages"].items()} == pytest.approx(
        {"search": 0.75, "other": 0.25}
    )
    assert summary["stages"]["search"]["p50_ms"] == pytest.approx(51 * 0.75)


def test_where_nothing_is_computed_there_is_no_limit(
    script: Callable[..., int], photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    colour = load_config(None, ["preprocess.size=64", "run.device=cpu"], {"evidence": ["colour"]})
    Inspector.fit([render_part(seed, size=(96, 96)).image for seed in range(6)], colour).save(tmp_path / "c.pkl")
    flags = ("--dir", photos[0].parent, "--target-ms", 1e9, "--json", tmp_path / "r.json")
    assert script("--model", tmp_path / "c.pkl", *flags) == 0
    assert "physical limit" not in capsys.readouterr().out
    figures = json.loads((tmp_path / "r.json").read_text())
    assert (figures["limit_ms"], figures["times_limit"]) == (0, None)


@pytest.mark.parametrize(("target", "code", "word"), [(1e9, 0, "PASS"), (1e-6, 1, "FAIL")])
def test_script_says_pass_or_fail(
    script: Callable[..., int],
    inspector: Inspector,
    photos: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    target: float,
    code: int,
    word: str,
) -> None:
    report = tmp_path / "deep" / "latency.json"
    flags = ("--dir", photos[0].parent, "--target-ms", target, "--repeat", 2, "--device", "cpu", "--json", report)
    assert script(*flags) == code
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1].startswith(f"{word}: p95 is ")
    assert all(stage in printed for stage in STAGES)
    assert all(name in printed for name in ("p50", "p95", "p99"))
    figures = json.loads(report.read_text())
    assert (figures["n"], figures["n_photos"], figures["passed"]) == (4, 2, code == 0)
    bank = core_of(inspector).bank_.features
    search = 2 * 8 * 8 * bank.numel() / 1e9
    assert figures["limit_ms"] > 1000 * search
    assert figures["times_limit"] == pytest.approx(figures["p50_ms"] / figures["limit_ms"])
    assert figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"]
    assert sum(stage["share"] for stage in figures["stages"].values()) == pytest.approx(1)


def test_script_renders_parts_where_no_folder_is_given(
    script: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "RENDERED", 3)
    monkeypatch.setattr(benchmark, "RENDERED_SIZE", (96, 128))
    assert script("--target-ms", 1e9) == 0
    assert "3 photos from rendered parts, 128 x 96 px" in capsys.readouterr().out


@pytest.mark.parametrize("flags", [("--repeat", 0), ("--target-ms", 0), ("--target-ms", "nan")])
def test_script_refuses_what_cannot_be_measured(script: Callable[..., int], flags: tuple[Any, ...]) -> None:
    with pytest.raises(UserError, match="--repeat must be at least 1, and --target-ms above 0"):
        script(*flags)


def test_script_needs_a_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "latency", "--model", str(tmp_path / "none.pkl")])
    with pytest.raises(UserError, match=r"none\.pkl"):
        benchmark.main()
