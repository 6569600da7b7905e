"""Measure what a user waits for: from a command to a model, and from a command to verdicts on new photos.

Every command is a cold process with the program's own defaults, so that imports, reading, computing and writing all
count. AUROC and verdicts stand beside the seconds: fast and wrong is no answer.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastener.benchmarks.asking import Contender, plain_environment
from fastener.benchmarks.features import spread
from fastener.common.errors import UserError
from fastener.datasets.mvtec import load_category
from fastener.evaluation.metrics import auroc, bootstrap_ci

_ROOT = Path(__file__).resolve().parents[1]
_JUDGED = 100


class Waiting:
    """Copies of a category's photos to learn from and to judge, and the answers that programs give about them.

    Parameters
    ----------
    category : Path
        Folder of an MVTec category.
    folder : Path
        Folder for the copies, the models and the results.
    learn : sequence of Path
        The healthy photos of the category to learn from.
    """

    def __init__(self, category: Path, folder: Path, learn: Sequence[Path]):
        test = {image.path: image.is_anomalous for image in load_category(category.parent, category.name).test}
        judged = spread(sorted(test), min(_JUDGED, len(test)))
        self.learn = _copied(learn, folder / "mvtec" / "parts" / "train" / "good")
        self.judge = _copied(judged, folder / "judge")
        self.labels = np.array([test[path] for path in judged])
        self.folder = folder

    def ours(self, name: str, flags: Sequence[str], weights: Path | None = None) -> list[dict[str, Any]]:
        """Run train.py and inference.py as a user does."""
        model, output = self.folder / f"{name}.pkl", self.folder / name
        more = [] if weights is None else ["--weights", str(weights)]
        source = ("--mvtec-dir", self.folder / "mvtec", "--category", "parts")
        trained = cold("train.py", *source, "--output", model, *flags, *more)
        judged = cold("inference.py", "--dir", self.judge, "--model", model, "--output", output, "--json", *more)
        entries = json.loads((output / "results.json").read_text(encoding="utf-8"))
        found = {Path(entry["path"]).name: (entry["score"], entry["is_anomalous"]) for entry in entries}
        return self._rows(name, trained, judged, found)

    def anomalib(self, contender: Contender, kind: str, weights: str, keep: float) -> list[dict[str, Any]]:
        """Run anomalib's Engine with its default frame, which trains, writes a checkpoint and predicts from it."""
        values = {"kind": kind, "folder": str(self.folder / kind), "weights": weights, "keep": keep}
        start = time.perf_counter()
        contender.ask("learn", images=str(self.learn), **values)
        trained = time.perf_counter() - start
        start = time.perf_counter()
        answer = contender.ask("judge", images=str(self.judge), **values)
        return self._rows(f"anomalib, {kind}", trained, time.perf_counter() - start, answer["found"])

    def _rows(
        self, name: str, trained: float, judged: float, found: Mapping[str, tuple[float, bool]]
    ) -> list[dict[str, Any]]:
        answers = [found[path.name] for path in sorted(self.judge.iterdir())]
        scores, flagged = (np.array(values) for values in zip(*answers, strict=True))
        low, high = bootstrap_ci(self.labels, scores)
        learn = f"from the command to a model, {len(list(self.learn.iterdir()))} photos"
        judge = f"from the command to verdicts, {len(answers)} photos"
        return [
            {"question": learn, "contender": name, "seconds": trained},
            {
                "question": judge,
                "contender": name,
                "seconds": judged,
                "image AUROC (95 %)": f"{auroc(self.labels, scores):.3f} ({low:.3f} to {high:.3f})",
                "defects found": f"{flagged[self.labels].sum()} of {self.labels.sum()}",
                "good flagged": f"{flagged[~self.labels].sum()} of {(~self.labels).sum()}",
            },
        ]


def cold(script: str, *arguments: object) -> float:
    """Run a script of this project in a new process and return the seconds. Raises UserError if it fails."""
    command = [sys.executable, str(_ROOT / script), *map(str, arguments)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=plain_environment())
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise UserError(f"{script} ended with code {done.returncode}: {done.stderr.strip()[-300:]}")
    return seconds


def _copied(files: Sequence[Path], folder: Path) -> Path:
    """Copy photos under names that keep their order, as names of an MVTec category repeat."""
    folder.mkdir(parents=True)
    for number, file in enumerate(files):
        shutil.copy(file, folder / f"{number:04d}{file.suffix}")
    return folder
