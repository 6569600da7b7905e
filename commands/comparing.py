"""Compare the results of earlier evaluations, for evaluate.py --compare RUN_A RUN_B."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastener.commands import cli
from fastener.common.errors import UserError
from fastener.common.files import write_atomically
from fastener.common.spreadsheet import csv_text

if TYPE_CHECKING:
    from fastener.evaluation.comparison import AcrossSets, Difference

_SCORES = "scores.npz"
_WHOLE = "all images"

Run = dict[str, dict[str, np.ndarray]]


def compare_runs(folders: Sequence[Path], output: Path, *, seed: int = 0) -> int:
    """Compare the scores in ``folders``, outputs of evaluate.py on the same images; write a table and figures.

    Raises UserError if a folder has no scores, or if the images differ.
    """
    from fastener.evaluation.comparison import FEWEST_SETS, compare
    from fastener.evaluation.visualize import roc_comparison, save_figure

    names = _short_names(folders)
    runs = {name: _read(folder) for name, folder in zip(names, folders, strict=True)}
    labels = _same_images(runs)
    scores = {name: {data: run[data]["score"] for data in labels} for name, run in runs.items()}
    try:
        found, across = compare(labels, scores, seed=seed)
    except ValueError as error:
        raise UserError(f"--compare: {error}") from None
    rows, lines = [_row(one) for one in found], _lines(found, across)
    write_atomically(output / "comparison.csv", csv_text(list(rows[0]), rows))
    write_atomically(output / "comparison.md", "\n".join(lines) + "\n")
    for data, truth in labels.items():
        curves = {name: (truth, scores[name][data]) for name in names}
        file = output / ("roc.png" if data == _WHOLE else f"roc_{data}.png")
        title = f"{data}: {truth.sum()} defective and {(~truth).sum()} good images"
        x_label, y_label = "False positive rate", "Recall"
        save_figure(roc_comparison(curves, title, x_label, y_label), file)
    cli.say("\n".join(lines))
    if not across and len(labels) > 1:
        cli.say(f"with fewer than {FEWEST_SETS} data sets, no test over all of them")
    cli.say(f"wrote {output}")
    return cli.EXIT_OK


def _short_names(folders: Sequence[Path]) -> list[str]:
    """Name each folder by the parts of its path in which it differs from the others."""
    parts = [folder.resolve().parts for folder in folders]
    if len(set(parts)) < len(parts):
        raise UserError("--compare: a folder is named twice")
    depth = next(k for k in range(1, max(map(len, parts)) + 1) if len({one[-k:] for one in parts}) == len(parts))
    return ["/".join(one[-depth:]) for one in parts]


def _read(folder: Path) -> Run:
    """Read the scores of a run by category; those of a data set without categories have one name for all images."""
    files = {_WHOLE: folder / _SCORES} if (folder / _SCORES).is_file() else {}
    files |= {path.parent.relative_to(folder).as_posix(): path for path in sorted(folder.glob(f"*/{_SCORES}"))}
    if not files:
        raise UserError(f"--compare {folder}: no {_SCORES} there; name the folder that evaluate.py wrote with --output")
    return {name: _arrays(path) for name, path in files.items()}


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in ("path", "is_anomalous", "score")}
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} cannot be read as scores ({error}); run evaluate.py again") from None
    order = np.argsort(found["path"], kind="stable")
    return {name: values[order] for name, values in found.items()}


def _same_images(runs: dict[str, Run]) -> dict[str, np.ndarray]:
    """Return the labels by data set that all runs have.

    Raises UserError unless they have one in common, and the same images of it with the same labels.
    """
    (first, one), *others = runs.items()
    common = [data for data in one if all(data in run for _, run in others)]
    left_out = sorted({data for run in runs.values() for data in run} - set(common))
    if not common:
        raise UserError(f"--compare: the runs have no data set in common, only {', '.join(left_out)}")
    if left_out:
        cli.warn(f"not in every run, and not compared: {', '.join(left_out)}")
    for name, run in others:
        for data in common:
            if not np.array_equal(one[data]["path"], run[data]["path"]):
                odd = sorted(set(one[data]["path"]) ^ set(run[data]["path"]))
                raise UserError(
                    f"--compare: {first} and {name} were measured on different images of {data}: {len(odd)} are in one "
                    f"of them only, e.g. {odd[0]}"
                )
            if not np.array_equal(one[data]["is_anomalous"], run[data]["is_anomalous"]):
                raise UserError(f"--compare: {first} and {name} have different labels for images of {data}")
    return {data: one[data]["is_anomalous"].astype(bool) for data in common}


def _row(one: Difference) -> dict[str, Any]:
    return {
        "data": one.data,
        "first": one.first,
        "second": one.second,
        "n": one.n,
        "auroc_first": one.auroc[0],
        "auroc_second": one.auroc[1],
        "difference": one.difference,
        "ci95_low": one.low,
        "ci95_high": one.high,
        "p_delong": one.p,
        "p_holm": one.p_holm,
        "bootstrap_low": one.bootstrap[0],
        "bootstrap_high": one.bootstrap[1],
        "average_precision_first": one.average_precision[0],
        "average_precision_second": one.average_precision[1],
    }


def _lines(found: Sequence[Difference], across: Sequence[AcrossSets]) -> list[str]:
    """Write the table in Markdown, and a line for each comparison over all data sets."""
    lines = ["| data | n | first | second | AUROC | difference (95 %) | p (DeLong) | p (Holm) |", "|" + "---|" * 8]
    for one in found:
        lines.append(
            f"| {one.data} | {one.n} | {one.first} | {one.second} | {one.auroc[0]:.3f}, {one.auroc[1]:.3f} | "
            f"{one.difference:+.3f} ({one.low:+.3f} to {one.high:+.3f}) | {one.p:.3g} | {one.p_holm:.3g} |"
        )
    for all_sets in across:
        lines.append(
            f"\nOver {all_sets.sets} data sets: {all_sets.first} {all_sets.mean[0]:.3f}, {all_sets.second} "
            f"{all_sets.mean[1]:.3f} on average, p {all_sets.p:.3g} (Wilcoxon)"
        )
    return lines
