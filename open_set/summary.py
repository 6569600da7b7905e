"""Say in words and tables how many unknown defects are rejected: lines for a terminal, and summary.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

Row = Mapping[str, Any]
COLUMNS = (
    "split", "approach", "score", "unknown_rejected", "unknown_rejected_low", "unknown_rejected_high",
    "acceptance_known_test", "closed_set_accuracy", "unknown_auroc", "unknown_aupr", "fpr95", "oscr", "open_set_f1",
    "ms_per_image", "by_unknown_class",
)  # fmt: skip
# Columns of text, or that have no mean.
_NO_FIGURES = ("split", "approach", "score", "unknown_rejected_low", "unknown_rejected_high", "by_unknown_class")
FIGURES = tuple(name for name in COLUMNS if name not in _NO_FIGURES)
# Below this share, an unknown class is said to overlap with the known class that takes most of its images.
_REJECTED_ENOUGH = 0.7
_MANY = 3  # known classes that are named beside a count


def describe(split: str, measured: Row) -> list[str]:
    """Describe one approach with one score in a few lines: known accepted, unknown rejected, each unknown class."""
    lines = [
        f"split {split}, {measured['approach']}, {measured['score']}: {_rejected(measured)}; "
        f"{measured['acceptance_known_test']:.1%} of {measured['n_known']} known accepted, "
        f"{measured['closed_set_accuracy']:.1%} named right"
    ]
    return lines + [f"  {of_class(one)}" for one in measured["classes"] if not one["known"]]


def of_class(one: Row) -> str:
    """State of one class how many images were rejected, and what the others were called."""
    called = ", ".join(f"{count} called {name}" for name, count in list(one["called"].items())[:_MANY])
    return f"{one['class']}: {one['rejected']} of {one['n']} rejected" + (f", {called}" if called else "")


def overlaps(split: str, measured: Row) -> list[str]:
    """Warn of unknown classes that mostly pass for one known class."""
    lines = []
    for one in measured["classes"]:
        if one["known"] or one["rejected_share"] >= _REJECTED_ENOUGH:
            continue
        name, count = next(iter(one["called"].items()))
        lines.append(
            f"split {split}: unknown class {one['class']} overlaps with known class {name}: {one['rejected']} of "
            f"{one['n']} rejected, {count} called {name}; teach it as a class of its own, or have {name} looked at"
        )
    return lines


def left_out_overlaps(split: str, rows: Sequence[Row], score: str) -> list[str]:
    """Warn of known classes that would mostly pass for another class if they were not known."""
    return [
        f"split {split}: known classes {row['left_out']} and {next(iter(row['called']))} overlap: when "
        f"{row['left_out']} is left out, {row['rejected']} of {row['n']} are rejected; unknown defects like these pass"
        for row in rows
        if row["score"] == score and row["rejected"] < _REJECTED_ENOUGH * row["n"]
    ]


def left_out_lines(rows: Sequence[Row], measured: Row) -> Iterator[str]:
    """Yield the estimate from known classes left out in turn, for the score of ``measured``."""
    chosen = [row for row in rows if row["score"] == measured["score"]]
    if not chosen:
        return
    mean = np.mean([row["rejected"] / row["n"] for row in chosen])
    yield f"  estimate without unknown images, known classes left out in turn: {mean:.1%} rejected"
    for row in chosen:
        called = "".join(f", {count} called {name}" for name, count in list(row["called"].items())[:_MANY])
        yield f"    {row['left_out']}: {row['rejected']} of {row['n']} rejected{called}"


def few_images(split: str, counts: Mapping[str, int], least: int = 20) -> list[str]:
    """Warn of known classes with so few test images that their figures say little; ``counts`` are by class."""
    few = [f"{name} ({count})" for name, count in counts.items() if count < least]
    if not few:
        return []
    return [
        f"split {split}: few test images of {', '.join(few)}: intervals are wide, and the threshold rests on as few; "
        f"give {4 * least} images a class"
    ]


def split_table(rows: Sequence[Row], columns: Sequence[str]) -> list[str]:
    """Format rows as a Markdown table; figures that are missing become "-"."""
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    return lines + [f"| {' | '.join(_cell(row[key]) for key in columns)} |" for row in rows]


def class_table(by_split: Mapping[str, Row]) -> list[str]:
    """Tabulate what becomes of the images of each unknown class; ``by_split`` holds the measured default score."""
    lines = ["| split | unknown class | rejected | share (95 %) | the others are called |", "|---" * 5 + "|"]
    for split, measured in by_split.items():
        for one in measured["classes"]:
            if not one["known"]:
                low, high = one["rejected_ci95"]
                share = f"{one['rejected_share']:.3f} ({low:.3f} to {high:.3f})"
                called = ", ".join(f"{name} {count}" for name, count in one["called"].items()) or "-"
                rejected = f"{one['rejected']} of {one['n']}"
                lines.append(f"| {split} | {one['class']} | {rejected} | {share} | {called} |")
    return lines


def left_out_table(by_split: Mapping[str, Sequence[Row]], scores: Mapping[str, str]) -> list[str]:
    """Tabulate the estimate from left-out known classes for the score of each split."""
    lines = ["| split | left out | rejected | share | the others are called |", "|---" * 5 + "|"]
    for split, rows in by_split.items():
        chosen = [row for row in rows if row["score"] == scores[split]]
        for row in chosen:
            called = ", ".join(f"{name} {count}" for name, count in row["called"].items()) or "-"
            share = f"{row['rejected'] / row['n']:.3f}"
            lines.append(f"| {split} | {row['left_out']} | {row['rejected']} of {row['n']} | {share} | {called} |")
        if chosen:
            mean = np.mean([row["rejected"] / row["n"] for row in chosen])
            lines.append(f"| {split} | mean | | {mean:.3f} | |")
    return lines


def over_splits(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Average the figures over the splits: a row for each approach and score, with "mean ± deviation"."""
    found = []
    for approach, score in dict.fromkeys((row["approach"], row["score"]) for row in rows):
        same = [row for row in rows if (row["approach"], row["score"]) == (approach, score)]
        row: dict[str, Any] = {"split": f"{len(same)} splits", "approach": approach, "score": score}
        for key in FIGURES:
            values = [one[key] for one in same if one[key] is not None]
            digits = 1 if key == "ms_per_image" else 3
            spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
            row[key] = f"{np.mean(values):.{digits}f}{spread}" if values else None
        found.append(row)
    return found


def runtime_table(runtimes: Mapping[str, Any]) -> list[str]:
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
    one = first[devices[0]]
    missing = "" if any("cuda" in device for device in devices) else " No GPU was there to measure."
    return [
        *lines, "",
        f"One image at a time, warm, the median of {one['rounds']} rounds; {one['threads']} threads, load average up "
        f"to {busy:.1f}.{missing}",
    ]  # fmt: skip


def _rejected(measured: Row) -> str:
    if not measured["n_unknown"]:
        return "no unknown images to reject"
    low, high = measured["unknown_rejected_ci95"]
    return f"{measured['unknown_rejected']:.1%} of {measured['n_unknown']} unknown rejected ({low:.1%} to {high:.1%})"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
