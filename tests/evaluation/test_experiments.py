"""Experiments on drawn categories: cells, resuming, intervals, tables, figures, the page and the command line."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from data_factory import run_inside
from mvtec_factory import write_category
from scipy.stats import t

from fastener.common.errors import UserError
from fastener.evaluation.experiments.cells import cells_of, parts_of
from fastener.evaluation.experiments.results import Results
from fastener.evaluation.experiments.settings import Experiment, load_experiment
from fastener.evaluation.experiments.sinks import log_results
from fastener.evaluation.region_curves import RegionCurves

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = ("model.backbone=filters", "preprocess.size=64", "run.device=cpu", "run.workers=0")
METHODS = ("padim", "gaussian", "global")


@pytest.fixture(scope="module")
def mvtec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mvtec")
    for name in ("plate", "sheet"):
        write_category(folder / name, n_train=5, n_good=3, n_defect=2)
    return folder


@pytest.fixture(scope="module")
def experiment(mvtec: Path) -> Experiment:
    return Experiment(
        data=(mvtec,), methods=METHODS, shots=(2, "all"), repeats=2, repeats_all=1, drawn_methods=("global",),
        categories=("plate",), settings=SMALL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("experiment")


@pytest.fixture(scope="module")
def results(experiment: Experiment, output: Path) -> Results:
    return experiment.run(output)


def test_cells_are_those_that_are_asked_for(experiment: Experiment) -> None:
    cells = list(cells_of(experiment, parts_of(experiment)))
    assert [(one.method, one.shots, one.seed) for one in cells] == [
        ("global", 2, 42), ("global", 2, 43), *((method, "all", 42) for method in METHODS)
    ]  # fmt: skip
    drawn = [set(one.training_photos()) for one in cells[:2]]
    assert drawn[0] != drawn[1]
    more = Experiment(data=experiment.data, shots=(4,), methods=("global",), categories=("plate",))
    (larger,) = cells_of(more, parts_of(more))
    assert drawn[0] < set(larger.training_photos())  # the same seed adds photos


def test_results_are_kept_and_not_computed_again(
    experiment: Experiment, output: Path, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (len(results.cells), results.missing, results.errors) == (5, 0, {})
    folder = output / "cells/plate/padim/all-photos/seed-42"
    assert {path.name for path in folder.iterdir()} == {"metrics.json", "scores.csv", "scores.npz", "regions.npz"}
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["runtime"]["p50_ms"] > 0
    assert {"torch", "numpy", "fastener"} <= set(metrics["runtime"]["versions"])
    assert metrics["aupro"] == pytest.approx(RegionCurves.read(folder).aupro()[0], abs=2e-3)  # type: ignore[union-attr]
    low, high = metrics["aupro_ci95"]
    assert 0 <= low <= high <= 1

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("a cell that is done was trained again")

    monkeypatch.setattr("fastener.inspection.inspector.Inspector.fit", never)
    again = experiment.run(output)
    assert again.rows() == results.rows()
    other = experiment.model_copy(update={"settings": (*SMALL, "calibration.alpha=0.2")})
    cells = list(cells_of(other, parts_of(other)))
    assert Results.read(other, output, cells).missing == 5  # these results are not those of other settings
    with pytest.raises(AssertionError, match="trained again"):
        other.run(output)


def test_intervals_of_repeats_are_students(results: Results) -> None:
    values = [one["image_auroc"] for one in results.of("plate", "global", 2)]
    found = results.estimate("plate", "global", 2)
    assert found is not None
    assert (found.value, found.n) == (pytest.approx(np.mean(values)), 2)
    low, high = t.interval(0.95, 1, np.mean(values), np.std(values, ddof=1) / np.sqrt(2) or 1e-12)
    assert found.low == pytest.approx(max(0, low), abs=1e-9)
    assert found.high == pytest.approx(min(1, high), abs=1e-9)
    single = results.estimate("plate", "padim", "all")
    assert single is not None
    assert [single.low, single.high] == results.of("plate", "padim", "all")[0]["image_auroc_ci95"]


def test_the_command_writes_tables_figures_and_a_page(mvtec: Path, tmp_path: Path) -> None:
    flags = [part for text in SMALL for part in ("--set", text)]
    asked = ("--data-dir", mvtec, "--all", "--method", "global", "--shots", "2,all", "--output", tmp_path)
    done = run_inside("evaluate.py", *asked, "--multi-class", "--formats", "svg,pdf", "--paper", *flags)
    assert done.returncode == 0, done.stderr
    assert "| method | plate | sheet | mean |" in done.stdout
    page = (tmp_path / "report.html").read_text()
    assert "are missing" not in page
    for words in ("--multi-class", "multi_class: true", "minutes of processor time", "image AUROC", "svg+xml", "torch"):
        assert words in page
    rows = list(csv.DictReader((tmp_path / "results.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert [(row["data"], row["shots"], row["n_train"]) for row in rows] == [
        ("plate", "2", "4"), ("sheet", "2", "4"), ("plate", "all", "10"), ("sheet", "all", "10")
    ]  # fmt: skip
    assert "booktabs" not in (tmp_path / "tables/image_auroc.tex").read_text()
    assert r"\toprule" in (tmp_path / "tables/image_auroc.tex").read_text()
    assert {"few_shot_plate.svg", "few_shot_plate.pdf", "roc_plate.svg", "pr_sheet.svg"} <= {
        one.name for one in (tmp_path / "figures").iterdir()
    }


def test_bad_experiments_are_one_clear_line(mvtec: Path, tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    for text, words in (
        (f"data: [{mvtec}]\nmethods: [magic]\n", "magic"),
        (f"data: [{mvtec}]\nshot: [1]\n", "shots"),
        (f"data: [{mvtec}]\nshots: [none]\n", "shots"),
        ("methods: [padim]\n", "data"),
    ):
        file.write_text(text)
        with pytest.raises(UserError, match=words):
            load_experiment(file)
    with pytest.raises(UserError, match="bolt is not in the data sets; there are: plate, sheet"):
        Experiment(data=(mvtec,), categories=("plate", "bolt")).run(tmp_path)
    for flags, words in (
        (("--experiment", "e.yaml", "--data-dir", mvtec), "leave one of them out"),
        (("--data-dir", mvtec, "--shots", "2", "--model", "m.pkl"), "--model does not go together with --shots"),
        (("--data-dir", mvtec, "--shots", "few"), "--shots"),
        (("--data-dir", mvtec, "--formats", "gif", "--shots", "2"), "--formats gif"),
    ):
        refused = run_inside("evaluate.py", *flags)
        assert (refused.returncode, words in refused.stderr) == (2, True), refused.stderr


def test_a_cell_that_fails_stops_no_other(mvtec: Path, tmp_path: Path) -> None:
    warned: list[str] = []
    asked = Experiment(
        data=(mvtec,), categories=("plate",), methods=("global",), shots=(2, 50), pixels="never", settings=SMALL
    )
    found = asked.run(tmp_path, warn=warned.append)
    assert (len(found.cells), found.missing) == (1, 1)
    assert warned == ["plate, global, 50 photos, seed 42: plate: 50 training photos asked, 5 there"]


def test_results_go_to_other_libraries(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[object] = []

    class Run:
        def __enter__(self) -> Run:
            return self

        def __exit__(self, *args: object) -> None:
            pass

    fake = SimpleNamespace(
        set_experiment=logged.append, set_tracking_uri=logged.append, start_run=lambda run_name: Run(),
        log_params=logged.append, log_metrics=logged.append,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    log_results(results, "mlflow:file:runs")
    assert logged[0] == "file:runs"
    assert [one["image_auroc"] for one in logged if isinstance(one, dict) and "image_auroc" in one] == [
        one["image_auroc"] for one in results.cells
    ]
    added: list[tuple[str, float, int]] = []

    class Writer(Run):
        def __init__(self, folder: str):
            pass

        def add_scalar(self, name: str, value: float, step: int) -> None:
            added.append((name, value, step))

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorboard", ModuleType("tensorboard"))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    log_results(results, "tensorboard")
    assert ("image_auroc", results.cells[0]["image_auroc"], 2) in added
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UserError, match="pip install mlflow"):
        log_results(results, "mlflow")
    with pytest.raises(UserError, match="one of mlflow, tensorboard"):
        log_results(results, "paper")
