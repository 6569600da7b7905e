"""Compare the results of earlier evaluations, for evaluate.py --compare RUN_A RUN_B."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastener.commands import cli
from fastener.common.errors import UserError
from fastener.common.files import write_atomically
from fastener.common.spreadsheet import csv_text

if TYPE_CHECKING:
    from fastener.evaluation.comparison import AcrossSets, Difference
    from fastener.evaluation.figure_style import Style
    from fastener.evaluation.region_curves import RegionCurves

_SCORES = "scores.npz"
_WHOLE = "all images"

Run = dict[str, dict[str, Any]]


def compare_runs(folders: Sequence[Path], output: Path, style: Style, *, seed: int = 0) -> int:
    """Compare the scores in ``folders``, outputs of evaluate.py on the same images; write a table and figures.

    Raises UserError if a folder has no scores, or if the images differ.
    """
    from fastener.evaluation.comparison import FEWEST_SETS, compare

    names = _short_names(folders)
    runs = {name: _read(folder) for name, folder in zip(names, folders, strict=True)}
    labels = _same_images(runs)
    scores = {name: {data: run[data]["score"] for data in labels} for name, run in runs.items()}
    regions = {
        name: {data: run[data]["regions"] for data in labels if "regions" in run[data]} for name, run in runs.items()
    }
    try:
        found, across = compare(labels, scores, regions=regions, seed=seed)
    except ValueError as error:
        raise UserError(f"--compare: {error}") from None
    rows, lines = [_row(one) for one in found], _lines(found, across)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    write_atomically(output / "comparison.csv", csv_text(columns, rows))
    write_curves(labels, scores, regions, output, style)
    lines += _ranks(found, names, list(labels), output, style)
    write_atomically(output / "comparison.md", "\n".join(lines) + "\n")
    cli.say("\n".join(lines))
    if not across and len(labels) > 1:
        cli.say(f"with fewer than {FEWEST_SETS} data sets, no test over all of them")
    cli.say(f"wrote {output}")
    return cli.EXIT_OK


def write_curves(
    labels: Mapping[str, np.ndarray],
    scores: Mapping[str, Mapping[str, np.ndarray]],
    regions: Mapping[str, Mapping[str, RegionCurves]],
    output: Path,
    style: Style,
) -> None:
    """Write joint ROC and precision-recall curves of each data set and, where known, the overlap of regions."""
    from fastener.evaluation.joint_curves import joint_overlap, joint_precision_recall, joint_roc

    for data, truth in labels.items():
        ending = "" if data == _WHOLE else f"_{data.replace('/', '-')}"
        title = f"{data}: {truth.sum()} defective and {(~truth).sum()} good images"
        own = {name: values[data] for name, values in scores.items() if data in values}
        style.write(partial(joint_roc, truth, own, title), output, f"roc{ending}")
        style.write(partial(joint_precision_recall, truth, own, title), output, f"pr{ending}")
        curves = {name: known[data] for name, known in regions.items() if data in known}
        if curves:
            style.write(partial(joint_overlap, curves, title), output, f"overlap{ending}")


def _ranks(
    found: Sequence[Difference], names: Sequence[str], data: Sequence[str], output: Path, style: Style
) -> list[str]:
    """Draw the critical-difference diagram where there are enough runs and data sets, and say what it shows."""
    from fastener.evaluation.critical_difference import FEWEST_METHODS, compare_ranks, diagram

    if len(names) < FEWEST_METHODS or len(data) < 2:
        return []
    areas = {(one.data, name): one.auroc[i] for one in found for i, name in enumerate((one.first, one.second))}
    ranks = compare_ranks(names, np.array([[areas[one, name] for name in names] for one in data]))
    style.write(partial(diagram, ranks), output, "critical_difference")
    listed = ", ".join(f"{name} {rank:.2f}" for name, rank in zip(ranks.methods, ranks.ranks, strict=True))
    return [
        f"\nMean ranks of AUROC on {ranks.sets} data sets: {listed}; Friedman p {ranks.p:.3g}, critical difference "
        f"{ranks.critical:.2f} (Nemenyi, 5 %; Demsar 2006 asks for more than 10 data sets)"
    ]


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


def _arrays(path: Path) -> dict[str, Any]:
    from fastener.evaluation.region_curves import RegionCurves

    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in ("path", "is_anomalous", "score")}
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} cannot be read as scores ({error}); run evaluate.py again") from None
    order = np.argsort(found["path"], kind="stable")
    arrays: dict[str, Any] = {name: values[order] for name, values in found.items()}
    regions = RegionCurves.read(path.parent)
    if regions is not None and len(regions.n_good) == len(order):
        arrays["regions"] = regions.part(order)
    return arrays


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
        **{
            f"{metric}_{key}": value
            for metric, test in one.others.items()
            for key, value in (
                *zip(("first", "second"), test.values, strict=True),
                ("difference", test.difference),
                ("ci95_low", test.low),
                ("ci95_high", test.high),
                ("p_bootstrap", test.p),
                ("p_holm", test.p_holm),
            )
        },
    }


def _lines(found: Sequence[Difference], across: Sequence[AcrossSets]) -> list[str]:
    """Write the table in Markdown, and a line for each comparison over all data sets."""
    lines = ["| data | n | first | second | AUROC | difference (95 %) | p (DeLong) | p (Holm) |", "|" + "---|" * 8]
    for one in found:
        lines.append(
            f"| {one.data} | {one.n} | {one.first} | {one.second} | {one.auroc[0]:.3f}, {one.auroc[1]:.3f} | "
            f"{one.difference:+.3f} ({one.low:+.3f} to {one.high:+.3f}) | {one.p:.3g} | {one.p_holm:.3g} |"
        )
    for metric, title in (("image_aupr", "image AP"), ("aupro", "AUPRO")):
        tested = [(one, one.others[metric]) for one in found if metric in one.others]
        if not tested:
            continue
        head = f"| data | first | second | {title} | difference (95 %) | p (bootstrap) | p (Holm) |"
        lines += ["", head, "|" + "---|" * 7]
        lines += [
            f"| {one.data} | {one.first} | {one.second} | {test.values[0]:.3f}, {test.values[1]:.3f} | "
            f"{test.difference:+.3f} ({test.low:+.3f} to {test.high:+.3f}) | {test.p:.3g} | {test.p_holm:.3g} |"
            for one, test in tested
        ]
    for all_sets in across:
        lines.append(
            f"\nOver {all_sets.sets} data sets: {all_sets.first} {all_sets.mean[0]:.3f}, {all_sets.second} "
            f"{all_sets.mean[1]:.3f} on average, p {all_sets.p:.3g} (Wilcoxon)"
        )
    return lines
