"""Measure speed, memory and recall of each kind of index, and how each changes image AUROC and AUPRO."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import faiss
import numpy as np
import torch

from fastener.benchmarks.features import category_features, clustered_features
from fastener.benchmarks.machine import measure_machine
from fastener.benchmarks.report import Report
from fastener.benchmarks.screw_settings import BASE, MVTEC, measure, read_test, with_interval
from fastener.benchmarks.work import distances_flop
from fastener.common.errors import UserError
from fastener.config import load_config
from fastener.datasets.images import read_image
from fastener.datasets.mvtec import load_category
from fastener.inspection.evidence import StructureEvidence
from fastener.inspection.inspector import Inspector
from fastener.models.memory_bank import MemoryBank

KINDS = ("flat", "ivf", "hnsw", "pq")
PATCHES = 784  # of one image


def run(arguments: argparse.Namespace) -> Report:
    """Measure each kind of index. The kind "flat" compares every row and is the reference for the other kinds."""
    rows, images = bank_and_images(arguments)
    report = Report(f"search, {len(rows):,} x {rows.shape[1]}, {PATCHES} patches an image", measure_machine())
    tuning = (rows[:-1] + rows[1:])[:: max(1, len(rows) // 1024)] / 2
    nearest = None
    for kind in arguments.kinds:
        start = time.perf_counter()
        bank = MemoryBank(rows).index_by(kind, tuning)
        built = time.perf_counter() - start
        seconds, found = _searched(bank, images, arguments.repeat)
        exact_peak, _ = _searched(bank, images, arguments.repeat, peaks=True)
        nearest = found if kind == "flat" else nearest
        flop = distances_flop(PATCHES, len(rows), rows.shape[1])
        report.rows.append(
            {
                "index": kind,
                "built_s": built,
                "ms_per_image": 1000 * seconds,
                "with_exact_peak_ms": 1000 * exact_peak,
                **report.machine.beside(seconds, flop, 4.0 * rows.numel()),
                "memory_mb": index_megabytes(bank),
                "recall_at_1": None if nearest is None else recall(found, nearest),
            }
        )
    flat = next((row["ms_per_image"] for row in report.rows if row["index"] == "flat"), None)
    for row in report.rows:
        row["times_flat"] = None if flat is None else flat / row["ms_per_image"]
    if arguments.category_dir is not None:
        _add_accuracy(report, arguments)
    report.notes.append("limit_s: time to compare every row; an index that compares only some rows may take less")
    return report


def bank_and_images(arguments: argparse.Namespace) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Make a bank, float32 (n, d), and the patches (784, d) of some images that are not in the bank."""
    queries = arguments.images * PATCHES
    if arguments.category_dir is not None:
        features = category_features(arguments.category_dir, arguments.weights, arguments.n + queries, arguments.dim)
    else:
        features = clustered_features(arguments.n + queries, arguments.dim, 0)
    rows = torch.from_numpy(features).float()
    if len(rows) <= 2 * queries:
        raise UserError(
            f"{len(rows):,} patches are too few for a bank beside {arguments.images} images; lower --images"
        )
    return rows[: len(rows) - queries].contiguous(), list(rows[-queries:].split(PATCHES))


def recall(found: np.ndarray, nearest: np.ndarray) -> float:
    """Compute the share of patches for which the index found a row as near as the nearest."""
    return float((found <= nearest * (1 + 1e-4) + 1e-6).mean())


def index_megabytes(bank: MemoryBank) -> float:
    """Count the megabytes of the bank's rows and of its index, if there is one."""
    index = 0 if bank.index is None else len(faiss.serialize_index(bank.index._index))
    return (4 * bank.features.numel() + index) / 2**20


def _searched(
    bank: MemoryBank, images: list[torch.Tensor], repeat: int, peaks: bool = False
) -> tuple[float, np.ndarray]:
    """Return the median seconds of an image, and the distances of all patches.

    With ``peaks``, the largest distance of each image is computed exactly.
    """
    taken: list[float] = []
    found: list[np.ndarray] = []
    for _ in range(repeat):
        found = []
        for image in images:
            start = time.perf_counter()
            distances = bank.search_images(image[None])[0][0] if peaks else bank.search(image)[0][:, 0]
            taken.append(time.perf_counter() - start)
            found.append(distances.numpy())
    return float(np.median(taken)), np.concatenate(found)


def _add_accuracy(report: Report, arguments: argparse.Namespace) -> None:
    """Add image AUROC and AUPRO of one model on the test photos, for each kind of index."""
    folder: Path = arguments.category_dir
    category = load_category(folder.parent, folder.name)
    config = load_config(MVTEC, [*BASE, f"model.coreset_ratio={arguments.keep}", "run.device=cpu"])
    inspector = Inspector.fit([read_image(path) for path in category.train], config, weights=arguments.weights)
    evidence = inspector.evidence["cnn"]
    assert isinstance(evidence, StructureEvidence)
    bank = evidence.patchcore.bank_
    tuning = (bank.features[:-1] + bank.features[1:])[:: max(1, len(bank) // 1024)] / 2
    test, results = read_test(category.test), []
    for row in report.rows:
        bank.index_by(row["index"], tuning)
        result = measure(inspector, test)
        results.append(result)
        row["auroc"], row["aupro"] = result.auroc, result.aupro
        base = results[0]
        row["auroc_change_points"] = 100 * (result.auroc - base.auroc)
        row["aupro_change_points"] = 100 * (result.aupro - base.aupro)
    report.notes.append(
        f"AUROC and AUPRO: {len(test.photos)} test photos of {folder.name}, a bank of {len(bank):,} x "
        f"{bank.features.shape[1]}; image AUROC with {report.rows[0]['index']}: {with_interval(results[0])}"
    )
