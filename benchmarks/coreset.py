"""Measure greedy k-centre selection: time, ratio to the machine's limit, and growth with the number of patches."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from fastener.benchmarks.features import category_features, clustered_features
from fastener.benchmarks.growth import exponent, sizes
from fastener.benchmarks.machine import measure_machine
from fastener.benchmarks.report import Report
from fastener.benchmarks.work import distances_flop
from fastener.common.errors import UserError
from fastener.models import coreset
from fastener.models.coreset import Coreset, greedy_coreset
from fastener.models.random_projection import gaussian_projection
from fastener.models.runtime.device import resolve_device


def run(arguments: argparse.Namespace) -> Report:
    """Time every method on an eighth, a quarter, a half and all of the rows."""
    device = resolve_device(arguments.device)
    features = torch.from_numpy(features_of(arguments)).to(device)
    report = Report(f"coreset, {arguments.keep:.0%} of patches kept", measure_machine(str(device)))
    greedy_coreset(features[:1000], 10, device=device)  # a first call loads the libraries, which is not to be timed
    taken: dict[str, list[tuple[int, float]]] = {}
    for n in sizes(len(features)):
        part = features[torch.linspace(0, len(features) - 1, n).long()]
        for name, method, dim in _methods(arguments, part):
            seconds, made = _timed(method, arguments.repeat)
            k = len(made.indices)
            taken.setdefault(name, []).append((n, seconds))
            report.rows.append(
                {
                    "patches": n,
                    "kept": k,
                    "method": name,
                    "seconds": seconds,
                    **report.machine.beside(seconds, distances_flop(n, k, dim)),
                    "cover_radius": cover_radius(part, made.indices),
                    "passes": made.n_updates,
                }
            )
    for name, points in taken.items():
        if len(points) > 1:
            power = exponent(*zip(*points, strict=True))
            report.notes.append(f"{name}: seconds grow as patches^{power:.2f} ({points[0][0]:,} to {points[-1][0]:,})")
    return report


def features_of(arguments: argparse.Namespace) -> np.ndarray:
    """Load patch features (n, d) from a file, compute them from a category's photos, or draw them."""
    if arguments.features is not None:
        try:
            features = np.load(arguments.features, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise UserError(f"--features {arguments.features}: cannot be read as an array: {error}") from None
        return np.array(features[: arguments.n])
    if arguments.category_dir is not None:
        return category_features(arguments.category_dir, arguments.weights, arguments.n)
    return clustered_features(arguments.n, arguments.dim, arguments.seed)


def _methods(arguments: argparse.Namespace, features: torch.Tensor) -> list[tuple[str, Callable[[], Coreset], int]]:
    """List the methods: name, function to time, and length of the vectors."""
    k, dim = max(1, round(arguments.keep * len(features))), features.shape[1]
    device = arguments.device
    methods = [("exact, by blocks", lambda: greedy_coreset(features, k, device=device), dim)]
    if arguments.projection and arguments.projection < dim:
        narrow = arguments.projection
        methods.append((f"projected to {narrow}", lambda: projected_coreset(features, k, narrow), narrow))
    if len(features) <= arguments.textbook:
        methods.append(("textbook loop", lambda: textbook_coreset(features, k), dim))
    return methods


def projected_coreset(features: torch.Tensor, k: int, dim: int) -> Coreset:
    """Select by randomly projected features, as model.coreset_projection does.

    The cover radius of the result is measured on the projected features.
    """
    projection = gaussian_projection(features.shape[1], dim, 0).to(features.device)
    return greedy_coreset(features.float() @ projection, k, device=features.device)


def cover_radius(features: torch.Tensor, indices: np.ndarray) -> float:
    """Compute the largest distance of a row to its nearest selected row."""
    return coreset.cover_radius(features, features[torch.from_numpy(indices)], features.device)


def textbook_coreset(features: torch.Tensor, k: int) -> Coreset:
    """Select by the textbook loop in float32: every pick takes one pass over all features."""
    features = features.float()
    norms = features.square().sum(1)
    nearest = torch.full_like(norms, torch.inf)
    picks = [0]
    while True:
        centre = picks[-1]
        nearest = torch.minimum(nearest, norms + norms[centre] - 2 * (features @ features[centre]))
        if len(picks) == k:
            return Coreset(np.array(picks), float(nearest.max().clamp(min=0).sqrt()), k)
        picks.append(int(nearest.argmax()))


def _timed(work: Callable[[], Coreset], repeat: int) -> tuple[float, Coreset]:
    """Return the median of the seconds, and the result."""
    taken = []
    for _ in range(repeat):
        start = time.perf_counter()
        result = work()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken)), result
