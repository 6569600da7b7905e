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
from fastener.open_set.classifier import FINE_TUNED, MODES
from fastener.open_set.decisions import Decisions, measure, rounded
from fastener.open_set.left_out import FALLBACK
from fastener.open_set.pipeline import GateScores, Pipeline
from fastener.open_set.plots import TITLES, write_plots
from fastener.open_set.settings import PARTS, RejectionSettings, ScoreName
from fastener.open_set.splits import TEST, TRAIN, UNKNOWN, VALIDATION
from fastener.open_set.summary import (
    COLUMNS,
    class_table,
    few_images,
    left_out_overlaps,
    left_out_table,
    of_class,
    over_splits,
    overlaps,
    runtime_table,
    split_table,
)
from fastener.open_set.two_stage import rejection_rule

Row = dict[str, Any]
_SHOWN = tuple(name for name in COLUMNS if name != "by_unknown_class")


def write_report(pipeline: Pipeline) -> list[Row]:
    """Write all results, and run the steps that have not been run. Returns the rows of summary.csv."""
    rows: list[Row] = []
    measured = {name: write_split(pipeline, name) for name in pipeline.splits}
    runtimes = {name: pipeline.benchmark_runtime(name) for name in pipeline.splits}
    for name, metrics in measured.items():
        pace = next(iter(runtimes[name].values()))["approaches"]
        rows += [_row(name, one, pace[one["approach"]]["median_ms"]) for one in metrics["results"]]
    write_atomically(pipeline.output / "summary.csv", _csv(rows))
    write_atomically(pipeline.output / "summary.md", summary_text(pipeline, rows, measured, runtimes))
    return rows


def _row(split: str, one: Row, milliseconds: float) -> Row:
    low, high = one["unknown_rejected_ci95"] or (None, None)
    unknown = "; ".join(of_class(found) for found in one["classes"] if not found["known"])
    return {
        **one,
        "split": split,
        "unknown_rejected_low": low,
        "unknown_rejected_high": high,
        "ms_per_image": milliseconds,
        "by_unknown_class": unknown,
    }


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
    defaults = {approach: default_score(approach, pipeline.score(name), settings.rejection) for approach in TITLES}
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
        "classifier": {"backbone": pipeline.backbone, "mode": pipeline.mode, "means": MODES[pipeline.mode]},
        "patchcore": {"backbone": pipeline.gate_backbone, **gate_metrics(pipeline.gate_scores(), settings.run.seed)},
        "default": defaults,
        "chosen_by": "leaving out known classes" if settings.rejection.score == "auto" else "the settings",
        "left_out": pipeline.left_out(name),
        "results": results,
    }


def measure_default(pipeline: Pipeline, name: str, *, cascade: bool) -> list[Row]:
    """Run one approach in a split, and measure it with the score that stands for it."""
    decisions = pipeline.run_cascade(name) if cascade else pipeline.run_osr(name)
    tested, settings = pipeline.split(name).indices(TEST, UNKNOWN), pipeline.settings
    return [
        measure(one, pipeline.images.groups[tested], settings.run.seed)
        for one in decisions
        if one.score == default_score(one.approach, pipeline.score(name), settings.rejection)
    ]


def default_score(approach: str, score: ScoreName, settings: RejectionSettings) -> str:
    """Name the score that stands for an approach; it is chosen without test images."""
    parts = PARTS[score] if approach == "one_stage" else rejection_rule(score, settings.use_confidence)
    return next((name for name, one in PARTS.items() if one == parts), "+".join(parts))


def default_results(metrics: Row) -> dict[str, Row]:
    """Map each approach to its measures with the score that stands for it."""
    return {one["approach"]: one for one in metrics["results"] if one["score"] == metrics["default"][one["approach"]]}


def warnings_of(pipeline: Pipeline, name: str) -> list[str]:
    """Warn of classes that overlap, and of too few images, in one split of which all is measured."""
    return warnings_about(pipeline, name, default_results(write_split(pipeline, name))["one_stage"])


def warnings_about(pipeline: Pipeline, name: str, measured: Row) -> list[str]:
    """Warn as ``warnings_of`` does; ``measured`` is what one stage does with the score that stands for it."""
    split = pipeline.split(name)
    tested = split.truth[split.indices(TEST)]
    counts = {known: int((tested == place).sum()) for place, known in enumerate(split.known)}
    return [
        *few_images(name, counts),
        *overlaps(name, measured),
        *left_out_overlaps(name, pipeline.left_out(name), measured["score"]),
    ]


def gate_metrics(gate: GateScores, seed: int) -> dict[str, Any]:
    """Measure PatchCore on the held-out steel strips, and on NEU, where all images have defects."""
    normal, defective = gate.test_normal, gate.test_defective
    accepted = int((normal <= gate.threshold).sum())
    figures: dict[str, Any] = {
        "threshold": gate.threshold,
        "alpha": gate.alpha,
        "n_normal_test": len(normal),
        "n_defective_test": len(defective),
        "normal_flagged": len(normal) - accepted,
        "defective_flagged": int((defective > gate.threshold).sum()),
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


def summary_text(
    pipeline: Pipeline, rows: Sequence[Row], measured: Mapping[str, Row], runtimes: Mapping[str, Any]
) -> str:
    """Write summary.md: how the figures came about, what is rejected by class, all scores, and the times."""
    settings = pipeline.settings
    by_split = {name: default_results(metrics) for name, metrics in measured.items()}
    scores = {name: metrics["default"]["one_stage"] for name, metrics in measured.items()}
    left_out = {name: metrics["left_out"] for name, metrics in measured.items()}
    chosen = [row for row in rows if row["score"] == measured[row["split"]]["default"][row["approach"]]]
    by_whom = "rejects most of each known class when it is left out"
    if settings.rejection.score != "auto":
        by_whom = "is named in the settings"
    elif not any(left_out.values()):
        by_whom = f"is {FALLBACK}, as no class could be left out (three known classes and ImageNet weights are needed)"
    notes = [
        f"Classifier: {pipeline.backbone}, {MODES[pipeline.mode]}.",
        f"PatchCore: {pipeline.gate_backbone}; {gate_text(gate_metrics(pipeline.gate_scores(), settings.run.seed))}.",
        f"Thresholds accept {1 - settings.rejection.alpha:.0%} of known validation images; no test image sets one.",
        f"The first table shows the score that {by_whom}: "
        f"{', '.join(f'{name} {score}' for name, score in scores.items())}.",
    ]
    warned = [line for name in pipeline.splits for line in warnings_of(pipeline, name)]
    tuned = " The features are those before fine-tuning." if pipeline.mode == FINE_TUNED else ""
    lines = [
        "# Open-set recognition", "", *[f"- {note}" for note in notes], *[f"- **{line}.**" for line in warned], "",
        "## By split", "", *split_table(chosen, _SHOWN), "",
        "## Unknown classes, one stage", "",
        *class_table({name: one["one_stage"] for name, one in by_split.items()}), "",
        "## Estimate without unknown images: each known class left out in turn", "",
        f"Training and validation images of the left-out class play the unknown.{tuned}", "",
        *left_out_table(left_out, scores), "",
        "## Mean and spread over the splits (standard deviation)", "",
        *split_table(over_splits(rows), [name for name in _SHOWN if not name.endswith(("_low", "_high"))]), "",
        "## Milliseconds per image, median", "", *runtime_table(runtimes),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def gate_text(gate: Row) -> str:
    """State in one line how many strips and images of defects PatchCore flags."""
    good = gate["n_normal_test"] - gate["normal_flagged"]
    strips = "no defective strips to tell apart"
    if gate["n_defective_test"]:
        low, high = gate["strip_auroc_ci95"]
        strips = (
            f"{gate['defective_flagged']} of {gate['n_defective_test']} defective strips flagged (AUROC "
            f"{gate['strip_auroc']:.3f}, {low:.3f} to {high:.3f})"
        )
    return (
        f"{good} of {gate['n_normal_test']} held-out defect-free strips accepted, {strips}; "
        f"{gate['neu_called_defective']:.1%} of the images by class flagged"
    )


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
