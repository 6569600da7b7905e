"""Tests between the methods of an experiment: paired on each data set, by ranks over all of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastener.common.errors import UserError
from fastener.evaluation.comparison import Difference, compare, holm
from fastener.evaluation.critical_difference import FEWEST_METHODS, RankComparison, compare_ranks
from fastener.evaluation.experiments.results import Results
from fastener.evaluation.experiments.settings import ALL
from fastener.evaluation.region_curves import RegionCurves


def paired_tests(results: Results) -> list[str]:
    """Compare the first method with each other one, where both learned all photos by the first seed.

    Returns lines for a person: DeLong's test of AUROC, the paired bootstrap of AUPRO, Holm's correction.
    """
    first, *others = results.methods
    cells = {(one["data"], one["method"]): one for one in results.cells if one["shots"] == ALL}
    cells = {key: one for key, one in cells.items() if one["seed"] == results.experiment.seed}
    found: list[Difference] = []
    for data in results.data:
        names = [name for name in (first, *others) if (data, name) in cells]
        if first not in names or len(names) < 2:
            continue
        read = {name: _scores(cells[data, name]) for name in names}
        labels = read[first]["is_anomalous"].astype(bool)
        same = [name for name in names if np.array_equal(read[name]["path"], read[first]["path"])]
        if labels.all() or not labels.any() or min(labels.sum(), (~labels).sum()) < 2:
            continue
        regions = {name: {data: one} for name in same if (one := RegionCurves.read(cells[data, name]["folder"]))}
        scores = {name: {data: read[name]["score"]} for name in same}
        found += compare({data: labels}, scores, regions=regions, against=first)[0]
    return _told(found)


def ranks(results: Results) -> RankComparison | None:
    """Rank the methods that learned all photos of every data set by their AUROC; None for too few of them."""
    table = {method: [results.estimate(data, method, ALL) for data in results.data] for method in results.methods}
    whole = {name: [one.value for one in row if one is not None] for name, row in table.items() if all(row)}
    if len(whole) < FEWEST_METHODS or len(results.data) < 2:
        return None
    return compare_ranks(list(whole), np.array(list(whole.values())).T)


def _told(found: list[Difference]) -> list[str]:
    """Write a line a test, with Holm's correction for all of them."""
    regions = [one for one in found if "aupro" in one.others]
    corrected = dict(zip(map(id, regions), holm([one.others["aupro"].p for one in regions]), strict=True))
    lines = []
    for one, p in zip(found, holm([one.p for one in found]), strict=True):
        line = (
            f"{one.data}: {one.first} {one.auroc[0]:.3f}, {one.second} {one.auroc[1]:.3f}; difference of AUROC "
            f"{one.difference:+.3f} ({one.low:+.3f} to {one.high:+.3f}), p {one.p:.2g} (DeLong), {p:.2g} (Holm)"
        )
        if (test := one.others.get("aupro")) is not None:
            interval = f"({test.low:+.3f} to {test.high:+.3f})"
            line += f"; of AUPRO {test.difference:+.3f} {interval}, p {test.p:.2g} (bootstrap), "
            line += f"{corrected[id(one)]:.2g} (Holm)"
        lines.append(line)
    return lines


def _scores(cell: dict[str, Any]) -> dict[str, np.ndarray]:
    path = cell["folder"] / "scores.npz"
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in ("path", "is_anomalous", "score")}
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} cannot be read as scores ({error}); delete the folder and run again") from None
