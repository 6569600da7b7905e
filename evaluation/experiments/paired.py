"""Tests between the methods of an experiment: paired on each data set, by ranks over all of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastener.common.errors import UserError
from fastener.evaluation.comparison import Difference, compare, holm
from fastener.evaluation.critical_difference import FEWEST_METHODS, RankComparison, compare_ranks
from fastener.evaluation.experiments.results import Results
from fastener.evaluation.experiments.settings import ALL
from fastener.evaluation.region_curves import RegionCurves


class Known(NamedTuple):
    """Labels of a data set's test images, and the scores and region curves of each method on them."""

    labels: np.ndarray
    scores: dict[str, np.ndarray]
    regions: dict[str, RegionCurves]


def scores_of(results: Results, data: str) -> Known | None:
    """Read the scores of all methods that learned all photos by the first seed, on the same images.

    None where there are none, or images of one class only. Raises UserError for a damaged file.
    """
    labels, paths = np.empty(0, bool), np.empty(0, str)
    scores: dict[str, np.ndarray] = {}
    regions: dict[str, RegionCurves] = {}
    for method in results.methods:
        for cell in results.of(data, method, ALL):
            if cell["seed"] != results.experiment.seed:
                continue
            read = _scores(cell)
            if not scores:
                labels, paths = read["is_anomalous"].astype(bool), read["path"]
            if np.array_equal(read["path"], paths):
                scores[method] = read["score"]
                if (curves := RegionCurves.read(cell["folder"])) is not None:
                    regions[method] = curves
    return Known(labels, scores, regions) if labels.any() and not labels.all() else None


def paired_tests(results: Results) -> list[str]:
    """Compare the first method with each other one, where both learned all photos by the first seed.

    Returns lines for a person: DeLong's test of AUROC, the paired bootstrap of AUPRO, Holm's correction.
    """
    first = results.methods[0]
    found: list[Difference] = []
    for data in results.data:
        known = scores_of(results, data)
        if known is None or first not in known.scores or len(known.scores) < 2:
            continue
        if min(known.labels.sum(), (~known.labels).sum()) < 2:
            continue
        scores = {name: {data: values} for name, values in known.scores.items()}
        regions = {name: {data: one} for name, one in known.regions.items()}
        found += compare({data: known.labels}, scores, regions=regions, against=first)[0]
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
