"""Show what --tune tried: one row a candidate, of the last round it was measured in, and a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from fastener.evaluation.metrics import bootstrap_ci
from fastener.evaluation.tuning import Tuning
from fastener.evaluation.tuning_trials import Trial
from fastener.evaluation.visualize import GREY, PALETTE

COLUMNS = (
    "candidate",
    "round",
    "learned",
    "auroc",
    "ci95_low",
    "ci95_high",
    "gain",
    "gain_low",
    "gain_high",
    "ms",
    "note",
)


def rows(tuning: Tuning) -> list[dict[str, Any]]:
    """List the candidates, those that came farthest and did best first.

    ``gain`` is the difference from the default of the same round, on the same images, with its 95 % interval.
    """
    last: dict[str, Trial] = {}
    for trial in tuning.trials:
        if trial.scores or trial.name not in last:
            last[trial.name] = trial
    stopped = {trial.name: f"round {trial.round + 1}: {trial.reason}" for trial in tuning.trials if trial.reason}
    found = [_row(tuning, trial, stopped.get(trial.name, "")) for trial in last.values()]
    return sorted(found, key=lambda row: (-row["round"], -(row["auroc"] if row["auroc"] is not None else -1.0)))


def figure(table: Sequence[Mapping[str, Any]], chosen: str) -> Figure:
    """Draw AUROC with its interval for each candidate of ``rows``, by the round that it reached."""
    shown = [row for row in table if row["auroc"] is not None][::-1]
    fig = Figure(figsize=(7, 1.2 + 0.3 * len(shown)), layout="constrained")
    ax = fig.add_subplot()
    for place, row in enumerate(shown):
        colour = PALETTE[0] if row["candidate"] == chosen else GREY
        ax.plot([row["ci95_low"], row["ci95_high"]], [place, place], color=colour, linewidth=2)
        ax.plot(row["auroc"], place, "o", color=colour)
    ax.set_yticks(range(len(shown)), [f"{row['candidate']} (round {row['round']})" for row in shown])
    ax.set_xlabel("AUROC on held-out photos with synthetic defects, 95 % interval")
    ax.set_title(f"chosen: {chosen}", loc="left")
    ax.grid(axis="x", alpha=0.3)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return fig


def _row(tuning: Tuning, trial: Trial, note: str) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row.update(candidate=trial.name, round=trial.round + 1, learned=trial.learned, note=note)
    if trial.name == tuning.chosen.name:
        row["note"] = "chosen"
    if not trial.scores:
        return row
    held, default = tuning.rounds[trial.round].held, tuning.rounds[trial.round].default
    low, high = bootstrap_ci(held.labels, trial.scores, groups=held.groups)
    row.update(auroc=held.auroc(trial), ci95_low=low, ci95_high=high, ms=trial.ms)
    if default.scores and trial is not default:
        row["gain"], row["gain_low"], row["gain_high"] = held.gain(trial, default)
    return {key: round(value, 4) if isinstance(value, float | np.floating) else value for key, value in row.items()}
