"""Compare this project with anomalib's PatchCore and amazon-science/patchcore-inspection in one run.

All contenders get the same features, photos and weights. Each peer runs unchanged, in a process of its own, with the
Python or from the clone that the flags name. A peer without a flag is left out, and a note says so.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fastener.benchmarks.asking import MEGABYTE, OURS, Contender, as_torch_file, scratch
from fastener.benchmarks.coreset import cover_radius
from fastener.benchmarks.features import category_features, resnet18_weights, spread, training_photos
from fastener.benchmarks.fit import CHANNELS, PATCHES, fit_flop, resnet18_flop
from fastener.benchmarks.machine import measure_machine
from fastener.benchmarks.report import Report
from fastener.benchmarks.waiting import Waiting
from fastener.benchmarks.work import distances_flop
from fastener.common.errors import UserError

BATCHES = (1, 8)
AMAZON_PROJECTION = 128  # the default of amazon's sampler
# amazon's exact sampler holds three copies of the distances of all pairs while it computes them.
EXACT_COPIES = 3
# Our settings nearest to those of the peers: one network, the same weights.
LIKE_PEERS = ("--backbone", "resnet18", "--evidence", "cnn")


class Race:
    """Runs every contender and adds a row for each answer; if a contender fails, a note replaces its rows."""

    def __init__(self, arguments: argparse.Namespace, folder: Path):
        self.arguments = arguments
        self.folder = folder
        self.weights = str(as_torch_file(resnet18_weights(arguments.weights), folder))
        self.report = Report("comparison with peers; a ratio above 1 is in favour of this project", measure_machine())
        self.anomalib = self._anomalib()
        self.amazon = self._amazon()
        self.network = resnet18_flop()
        self.photos = training_photos(arguments.category_dir)
        count = min(len(self.photos), arguments.photos or len(self.photos))
        self.images = [str(path) for path in spread(self.photos, count)]

    def coreset(self, n: int) -> None:
        """Select from the same features; the cover radius is measured on unprojected features for all contenders."""
        file, indices = str(self.folder / "features.npy"), str(self.folder / "picks.npy")
        features = category_features(self.arguments.category_dir, Path(self.weights), n).astype(np.float32)
        np.save(file, features)
        n, keep = len(features), round(self.arguments.keep * len(features))
        asked: list[tuple[str, Contender | None, dict[str, Any]]] = [
            ("ours, exact", OURS, {}),
            (f"ours, projected to {AMAZON_PROJECTION}", OURS, {"projection": AMAZON_PROJECTION}),
            ("anomalib", self.anomalib, {"picks": self.arguments.picks}),
        ]
        exact = EXACT_COPIES * 4 * n**2 <= self.arguments.memory_gb * 2**30
        kind = "exact" if exact else "approximate"
        for dim in (AMAZON_PROJECTION, CHANNELS):
            values = {"kind": kind, "dim": dim, "picks": None if exact else self.arguments.picks}
            asked.append((f"amazon, {kind}, {dim} numbers", self.amazon, values))
        if not exact and self.amazon:
            self.report.notes.append(
                f"amazon's exact sampler at {n:,} patches needs {EXACT_COPIES * 4 * n**2 / 2**30:.0f} GB "
                f"(--memory-gb {self.arguments.memory_gb:g}): its approximate one was run"
            )
        first = None
        for name, contender, values in asked:
            answer = self.ask(name, contender, "coreset", features=file, keep=keep, indices=indices, **values)
            if answer is None:
                continue
            radius = None if answer.get("estimated") else cover_radius(torch.from_numpy(features), np.load(indices))
            first = first or (answer, radius)
            row = self.row(f"coreset {n:,} x {CHANNELS}", name, answer, first[0], distances_flop(n, keep, CHANNELS))
            row["cover_radius"] = radius
            row["radius_beside_ours_%"] = None if radius is None or not first[1] else 100 * (radius / first[1] - 1)

    def fit(self, peers: bool) -> Path:
        """Fit a bank from photos, and for ours a calibrated model. Return our model; all contenders get its bank."""
        model = self.folder / "model.pkl"
        values = {"images": self.images, "weights": self.weights, "keep": self.arguments.keep}
        first = None
        for name, contender, more in (
            ("ours", OURS, {"model": str(model)}),
            ("anomalib", self.anomalib if peers else None, {"picks": self.arguments.picks}),
            ("amazon, approximate", self.amazon if peers else None, {"picks": self.arguments.picks}),
        ):
            answer = self.ask(name, contender, "fit", **values, **more)
            if answer is None:
                continue
            first = first or answer
            count = len(self.images)
            flop = fit_flop(count, round(self.arguments.keep * count * PATCHES), self.network)
            self.row(f"fit {count} images", name, answer, first, flop)
        return model

    def inspect(self, model: Path) -> None:
        """Measure inspection from files to scores and maps; all contenders have banks of the same size."""
        bank = np.load(model.with_suffix(".npy"), mmap_mode="r").shape
        best = self.quickest(model)
        for batch in BATCHES:
            images = [
                str(path) for path in spread(self.photos, min(len(self.photos), 48 if batch == 1 else 12 * batch))
            ]
            answers: dict[str, list[dict[str, Any]]] = {}
            for _ in range(self.arguments.repeat):
                for name, contender, more in (
                    ("ours", OURS, {"model": str(model)}),
                    ("ours, int8", OURS if best else None, {"model": str(best)}),
                    ("anomalib", self.anomalib, {"bank": str(model.with_suffix(".npy"))}),
                    ("amazon", self.amazon, {"bank": list(bank)}),
                ):
                    values = {"images": images, "weights": self.weights, "batch": batch, **more}
                    answer = self.ask(name, contender, "inspect", **values)
                    if answer is not None:
                        answers.setdefault(name, []).append(answer)
            for name, several in answers.items():
                flop = batch * (self.network + distances_flop(PATCHES, *bank))
                row = self.row(f"inspect, batch {batch}", name, _joined(several), _joined(answers["ours"]), flop)
                row["p95_s"] = float(np.percentile(np.concatenate([one["seconds"] for one in several]), 95))

    def wait(self) -> None:
        """Measure whole commands: ours with our defaults, ours with the network of the peers alone, and anomalib's."""
        waiting = Waiting(self.arguments.category_dir, self.folder, [Path(image) for image in self.images])
        self.report.rows += waiting.ours("ours", ())
        self.report.rows += waiting.ours("ours, ResNet-18 alone", LIKE_PEERS, Path(self.weights))
        if self.anomalib is None:
            return
        engine = replace(self.anomalib, script="anomalib_engine.py")
        for kind in ("Patchcore", "MHPatchcore"):
            try:
                self.report.rows += waiting.anomalib(engine, kind, self.weights, self.arguments.keep)
            except UserError as error:
                self.report.notes.append(f"anomalib, {kind}: left out, {error}")

    def quickest(self, model: Path) -> Path | None:
        """Fit our model on the same photos in int8, with a bank of the same size.

        Without ONNX Runtime the result is None, and a note says so.
        """
        best, int8 = model.with_name("int8.pkl"), ["run.precision=int8", "run.runtime=onnx"]
        values = {"images": self.images, "weights": self.weights, "keep": self.arguments.keep, "assignments": int8}
        return best if self.ask("ours, int8", OURS, "fit", model=str(best), **values) else None

    def ask(self, name: str, contender: Contender | None, task: str, **values: Any) -> dict[str, Any] | None:
        """Run a task and return the answer; if the contender fails or is left out, add a note and return None."""
        if contender is None:
            return None
        try:
            return contender.ask(task, **values)
        except UserError as error:
            self.report.notes.append(f"{name}, {task}: left out, {error}")
            return None

    def row(
        self, question: str, name: str, answer: dict[str, Any], ours: dict[str, Any], flop: float
    ) -> dict[str, Any]:
        """Add the row of one contender: its time and memory, compared with ours and with the limit."""
        row = {
            "question": question,
            "contender": name,
            "seconds": answer["seconds"],
            "ratio": answer["seconds"] / ours["seconds"],
            **self.report.machine.beside(answer["seconds"], flop),
            "peak_mb": answer["peak_bytes"] / MEGABYTE,
            "memory_ratio": answer["peak_bytes"] / ours["peak_bytes"],
            "estimated": "yes" if answer.get("estimated") else "",
        }
        self.report.rows.append(row)
        return row

    def _anomalib(self) -> Contender | None:
        python = self.arguments.anomalib_python
        if python is None:
            self.report.notes.append("anomalib: left out, no --anomalib-python")
            return None
        if not python.is_file():
            raise UserError(
                f"--anomalib-python {python}: no such file; name the python of an environment with anomalib"
            )
        return Contender("anomalib", "anomalib_patchcore.py", str(python))

    def _amazon(self) -> Contender | None:
        folder = self.arguments.amazon_dir
        if folder is None:
            self.report.notes.append("amazon-science/patchcore-inspection: left out, no --amazon-dir")
            return None
        if not (folder / "src" / "patchcore" / "common.py").is_file():
            raise UserError(f"--amazon-dir {folder}: no src/patchcore; clone amazon-science/patchcore-inspection")
        return Contender("amazon", "amazon_patchcore.py", always={"folder": str(folder)})


def run(arguments: argparse.Namespace) -> Report:
    """Run the tasks of ``--only`` in the order coreset, fit, inspect, wait; inspecting alone fits our model first."""
    with scratch() as folder:
        race = Race(arguments, Path(folder))
        if "coreset" in arguments.only:
            for n in arguments.n:
                race.coreset(n)
        if "fit" in arguments.only or "inspect" in arguments.only:
            model = race.fit(peers="fit" in arguments.only)
            if "inspect" in arguments.only:
                race.inspect(model)
        if "wait" in arguments.only:
            race.wait()
        if any(row.get("estimated") for row in race.report.rows):
            race.report.notes.append(
                f"estimated: {arguments.picks} picks were made, and the time of the others extrapolated from them"
            )
        return race.report


def _joined(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Join several answers to one task: the median of all seconds, and the largest memory."""
    return {
        "seconds": float(np.median(np.concatenate([answer["seconds"] for answer in answers]))),
        "peak_bytes": max(answer["peak_bytes"] for answer in answers),
    }
