"""Write the results: metrics.json and pictures of each split, and summary.csv and summary.md over all splits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastener.common.files import write_atomically
from fastener.common.spreadsheet import csv_text, rows_text
from fastener.evaluation.metrics import auroc, bootstrap_ci, proportion_ci
from fastener.open_set.artifacts import stored
from fastener.open_set.classifier import MODES
from fastener.open_set.decisions import Decisions, measure, rounded
from fastener.open_set.pipeline import GateScores, Pipeline
from fastener.open_set.plots import TITLES, write_plots
from fastener.open_set.settings import CONFIDENCE, RejectionSettings
from fastener.open_set.splits import TEST, TRAIN, UNKNOWN, VALIDATION

COLUMNS = (
    "split", "approach", "score", "closed_set_accuracy", "unknown_auroc", "unknown_aupr", "fpr95",
    "acceptance_known_test", "oscr", "open_set_f1", "ms_per_image",
)  # fmt: skip
_FIGURES = COLUMNS[3:]
Row = dict[str, Any]


def write_report(pipeline: Pipeline) -> list[Row]:
    """Write all results, and run the steps that have not been run. Returns the rows of summary.csv."""
    rows: list[Row] = []
    for name in pipeline.splits:
        metrics = write_split(pipeline, name)
        pace = next(iter(pipeline.benchmark_runtime(name).values()))["approaches"]
        rows += [
            {"split": name, **one, "ms_per_image": pace[one["approach"]]["median_ms"]} for one in metrics["results"]
        ]
    write_atomically(pipeline.output / "summary.csv", _csv(rows))
    runtimes = {name: pipeline.benchmark_runtime(name) for name in pipeline.splits}
    write_atomically(pipeline.output / "summary.md", summary_text(pipeline, rows, runtimes))
    return rows


def write_split(pipeline: Pipeline, name: str) -> dict[str, Any]:
    """Write metrics.json, runtime.json, decisions.csv of both approaches, and the pictures of one split."""
    folder = pipeline.output / f"split_{name}"
    metrics = stored(folder / "metrics.pt", pipeline.cascade_inputs(name), lambda: _measure_split(pipeline, name))
    write_atomically(folder / "metrics.json", json.dumps(metrics, indent=2, allow_nan=False) + "\n")
    write_atomically(folder / "runtime.json", json.dumps(pipeline.benchmark_runtime(name), indent=2) + "\n")
    return metrics


def _measure_split(pipeline: Pipeline, name: str) -> dict[str, Any]:
    """Measure one split, and write its pictures and decisions."""
    pipeline.say(f"split {name}: measuring")
    decisions = [*pipeline.run_osr(name), *pipeline.run_cascade(name)]
    split, settings, folder = pipeline.split(name), pipeline.settings, pipeline.output / f"split_{name}"
    tested = split.indices(TEST, UNKNOWN)
    results = [measure(one, pipeline.images.groups[tested], settings.run.seed) for one in decisions]
    defaults = {approach: default_score(approach, settings.rejection) for approach in TITLES}
    paths = [pipeline.images.paths[place] for place in tested]
    for step, approaches in (("osr", ("one_stage",)), ("cascade", ("two_stage", "two_stage_plain"))):
        chosen = [one for one in decisions if one.approach in approaches]
        write_atomically(folder / step / "decisions.csv", _decisions_csv(paths, chosen))
    shown = [place for place, one in enumerate(results) if one["score"] == defaults[one["approach"]]]
    write_plots(
        [decisions[place] for place in shown],
        [results[place] for place in shown],
        pipeline.extract_embeddings(name).embeddings[tested],
        folder=folder / "plots",
        seed=settings.run.seed,
    )
    return {
        "split": name,
        "known": list(split.known),
        "unknown": list(pipeline.splits[name].unknown),
        "n_images": {role: int((split.roles == role).sum()) for role in (TRAIN, VALIDATION, TEST, UNKNOWN)},
        "seed": settings.run.seed,
        "classifier": {"backbone": settings.classifier.backbone, "mode": pipeline.mode, "means": MODES[pipeline.mode]},
        "patchcore": {"backbone": pipeline.gate_backbone, **gate_metrics(pipeline.gate_scores(), settings.run.seed)},
        "default": defaults,
        "results": results,
    }


def default_score(approach: str, settings: RejectionSettings) -> str:
    """Name the score that stands for an approach. It is fixed by the settings and never chosen by results."""
    joined = approach != "one_stage" and settings.use_confidence and settings.score != CONFIDENCE
    return f"{settings.score}+{CONFIDENCE}" if joined else settings.score


def gate_metrics(gate: GateScores, seed: int) -> dict[str, Any]:
    """Measure PatchCore on the held-out steel strips, and on NEU, where all images have defects."""
    normal, defective = gate.test_normal, gate.test_defective
    accepted = int((normal <= gate.threshold).sum())
    figures: dict[str, Any] = {
        "threshold": gate.threshold,
        "alpha": gate.alpha,
        "n_normal_test": len(normal),
        "n_defective_test": len(defective),
        "normal_accepted": accepted / len(normal),
        "normal_accepted_ci95": list(proportion_ci(accepted, len(normal))),
        "strip_auroc": None,
        "strip_auroc_ci95": None,
        "neu_called_defective": float((gate.neu > gate.threshold).mean()),
    }
    if len(defective):
        labels, scores = np.arange(len(normal) + len(defective)) >= len(normal), np.concatenate([normal, defective])
        figures["strip_auroc"] = auroc(labels, scores)
        figures["strip_auroc_ci95"] = list(bootstrap_ci(labels, scores, seed=seed))
    rounded_figures: dict[str, Any] = rounded(figures)
    return rounded_figures


def summary_text(pipeline: Pipeline, rows: Sequence[Row], runtimes: Mapping[str, Any]) -> str:
    """Write summary.md: how the figures came about, the default scores, all scores, and the times."""
    settings = pipeline.settings
    defaults = {approach: default_score(approach, settings.rejection) for approach in TITLES}
    chosen = [row for row in rows if row["score"] == defaults[row["approach"]]]
    gate = gate_metrics(pipeline.gate_scores(), settings.run.seed)
    strips = "no defective strips to tell apart"
    if gate["strip_auroc"] is not None:
        low, high = gate["strip_auroc_ci95"]
        strips = f"AUROC {gate['strip_auroc']:.3f} ({low:.3f} to {high:.3f}), {gate['n_defective_test']} defective"
    notes = [
        f"Classifier: {settings.classifier.backbone}, {MODES[pipeline.mode]}.",
        f"PatchCore: {pipeline.gate_backbone}; {gate['normal_accepted']:.1%} of {gate['n_normal_test']} held-out "
        f"defect-free strips accepted, {strips}; {gate['neu_called_defective']:.1%} of the NEU images flagged.",
        f"Thresholds accept {1 - settings.rejection.alpha:.0%} of known validation images; no test image sets one.",
        f"The first table shows the score named in the settings ({settings.rejection.score}).",
    ]
    lines = [
        "# Open-set recognition", "", *[f"- {note}" for note in notes], "",
        "## By split", "", *_table(chosen), "",
        "## Mean and spread over the splits (standard deviation)", "", *_table(_over_splits(rows)), "",
        "## Milliseconds per image, median", "", *_runtime_table(runtimes),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _over_splits(rows: Sequence[Row]) -> list[Row]:
    """Average the figures over the splits: a row for each approach and score, with "mean ± deviation"."""
    found: list[Row] = []
    for approach, score in dict.fromkeys((row["approach"], row["score"]) for row in rows):
        same = [row for row in rows if (row["approach"], row["score"]) == (approach, score)]
        row: Row = {"split": f"{len(same)} splits", "approach": approach, "score": score}
        for key in _FIGURES:
            values = [one[key] for one in same]
            digits = 1 if key == "ms_per_image" else 3
            spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(same) > 1 else ""
            row[key] = f"{np.mean(values):.{digits}f}{spread}"
        found.append(row)
    return found


def _table(rows: Sequence[Row]) -> list[str]:
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for row in rows:
        cells = [f"{row[key]:.3f}" if isinstance(row[key], float) else str(row[key]) for key in COLUMNS]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _runtime_table(runtimes: Mapping[str, Any]) -> list[str]:
    """Tabulate the times: a row for each stage, a column for each device, the mean of the medians over the splits."""
    devices = list(dict.fromkeys(device for one in runtimes.values() for device in one))
    first = next(iter(runtimes.values()))
    stages = list(first[devices[0]]["stages"])
    lines = [f"| stage | {' | '.join(devices)} |", "|---" * (len(devices) + 1) + "|"]
    for kind, names in (("stages", stages), ("approaches", list(first[devices[0]]["approaches"]))):
        for name in names:
            cells = [f"{np.mean([one[d][kind][name]['median_ms'] for one in runtimes.values()]):.1f}" for d in devices]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    busy = max((one[devices[0]]["load_average"] or 0.0) for one in runtimes.values())
    threads = first[devices[0]]["threads"]
    missing = "" if any("cuda" in device for device in devices) else " No GPU was there to measure."
    return [*lines, "", f"One image at a time, {threads} threads, load average up to {busy:.1f}.{missing}"]


def _csv(rows: Sequence[Row]) -> str:
    return csv_text(COLUMNS, rows)


def _decisions_csv(paths: Sequence[Path], decisions: Sequence[Decisions]) -> str:
    """Write a line for each image: file, true class, and score and verdict of each approach and score."""
    names = [f"{one.approach}, {one.score}" for one in decisions]
    columns = [f"{name}: {column}" for name in names for column in ("score", "verdict")]
    table: list[list[object]] = [["path", "truth", *columns]]
    for place, path in enumerate(paths):
        verdicts = [value for one in decisions for value in (round(float(one.scores[place]), 6), one.predicted[place])]
        table.append([path, decisions[0].truth[place], *verdicts])
    return rows_text(table)
