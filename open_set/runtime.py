"""Measure the milliseconds of each stage, one image at a time after a warm-up, as on a production line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fastener.datasets.images import read_image
from fastener.evaluation.latency import Clock, clock_of
from fastener.open_set.classifier import Classifier
from fastener.open_set.network import as_square
from fastener.open_set.rejection import Rejector
from fastener.open_set.steel_gate import SteelGate

STAGES = ("read", "classifier", "rejection", "patchcore")
# Stages that each approach runs.
APPROACHES = {"one_stage": ("read", "classifier", "rejection"), "two_stage": STAGES, "two_stage_plain": STAGES}
_WARM_UP = 5
_ROUNDS = 3


def measure_runtime(
    classifier: Classifier,
    rejector: Rejector,
    gate: SteelGate,
    *,
    paths: Sequence[Path],
    clock: Clock | None = None,
) -> dict[str, Any]:
    """Measure median and 95th percentile of each stage over ``paths``, on the classifier's device.

    Each image is timed three times, and its median counts, so that a pause of the machine does not. The result also
    states the threads and the load of the machine. ``clock`` replaces the clock of that device.
    """
    clock = clock or clock_of(classifier.device)
    rows = []
    warm_up = [paths[place % len(paths)] for place in range(_WARM_UP)]
    for path in [*warm_up, *(list(paths) * _ROUNDS)]:
        moments = [clock()]
        photo = read_image(path)
        moments.append(clock())
        embedded = classifier(as_square(photo, classifier.settings.size)[None])
        moments.append(clock())
        rejector(embedded)
        moments.append(clock())
        gate.inspect(photo)
        moments.append(clock())
        rows.append(np.diff(moments) * 1000)
    rounds = np.array(rows[_WARM_UP:]).reshape(_ROUNDS, len(paths), len(STAGES))
    milliseconds = np.median(rounds, axis=0)
    return {
        "device": str(classifier.device),
        "n_images": len(paths),
        "rounds": _ROUNDS,
        "threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "stages": {
            name: {
                "median_ms": round(float(np.median(column)), 3),
                "p95_ms": round(float(np.percentile(column, 95)), 3),
            }
            for name, column in zip(STAGES, milliseconds.T, strict=True)
        },
        "approaches": {
            name: {"median_ms": round(float(np.median(milliseconds[:, [STAGES.index(s) for s in used]].sum(1))), 3)}
            for name, used in APPROACHES.items()
        },
    }
