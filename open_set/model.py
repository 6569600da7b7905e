"""A saved open-set model: classifier, statistics, thresholds and networks in one file, read without running code."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fastener.common.errors import UserError
from fastener.config import RunSettings
from fastener.inspection.inspector import Inspector
from fastener.inspection.model_state import state_of
from fastener.inspection.naming import NO_DEFECT, UNKNOWN, Naming
from fastener.inspection.result import Inspection
from fastener.models.calibration import Scale
from fastener.models.runtime.device import resolve_device
from fastener.models.runtime.storage import load_state, save_state
from fastener.models.runtime.weights import read_state_dict
from fastener.open_set.classifier import Classifier, Embedded
from fastener.open_set.images import elongation_of
from fastener.open_set.network import as_square
from fastener.open_set.rejection import Rejector
from fastener.open_set.scores import fit_scores
from fastener.open_set.settings import ClassifierSettings, RejectionSettings
from fastener.open_set.steel_gate import SteelGate
from fastener.preprocessing.tiles import tile_corners

_KIND = "open set"
# Photos this much longer than all that were learned are cut into squares.
_LONGER = 1.5


@dataclass(frozen=True)
class Verdict(Naming):
    """Hold the answer for one photo: the kind of defect, and what PatchCore says.

    Parameters
    ----------
    gate_score, gate_threshold
        PatchCore's score, and the score above which there is a defect; None without PatchCore.
    """

    gate_score: float | None = None
    gate_threshold: float | None = None


@dataclass(frozen=True)
class OpenSetModel:
    """Name the defect in a photo, or call it unknown, or find none.

    Parameters
    ----------
    classifier, rejector
        They name a class, and reject what is unlike all known classes.
    known
        Names of the known classes.
    taught, labels
        Embeddings of the training images and their classes (n,), to which the scores are fitted again when loaded.
    rejection
        Settings of the scores.
    elongation
        Longer over shorter side of the longest training image.
    gate
        PatchCore on defect-free steel; None if the model names a class in every photo.
    weights
        Name of a network -> its published tensors.
    """

    classifier: Classifier
    rejector: Rejector
    known: tuple[str, ...]
    taught: Embedded
    labels: np.ndarray
    rejection: RejectionSettings
    elongation: float
    gate: SteelGate | None
    weights: Mapping[str, Mapping[str, torch.Tensor]]

    def squares(self, photo: np.ndarray) -> np.ndarray:
        """Resize a photo, uint8 RGB (H, W, 3), for ``name``: uint8 (n, side, side, 3).

        It becomes one square, squeezed as the training images were. A photo that is longer than all of those becomes
        the squares that PatchCore judges one by one.
        """
        views = [photo]
        if self.gate is not None and elongation_of(photo) > _LONGER * self.elongation:
            side = min(photo.shape[:2])
            views = [photo[top : top + side, left : left + side] for top, left in tile_corners(photo.shape[:2])]
        return np.stack([as_square(view, self.classifier.settings.size) for view in views])

    def name(self, squares: np.ndarray, is_defect: Sequence[bool]) -> list[Naming]:
        """Name what ``squares``, uint8 RGB (n, side, side, 3), show; ``is_defect`` (n,) is PatchCore's answer."""
        embedded = self.classifier(squares)
        logits = embedded.logits.astype(float)
        shares = 1 / np.exp(logits - logits.max(1, keepdims=True)).sum(1)
        limit = self.rejector.threshold
        namings = []
        for score, place, share, found in zip(
            self.rejector(embedded), embedded.classes, shares, is_defect, strict=True
        ):
            named = self.known[int(place)]
            verdict = (UNKNOWN if score > limit else named) if found else NO_DEFECT
            namings.append(Naming(verdict, named, float(share), float(score), limit))
        return namings

    def judge(self, photo: np.ndarray) -> Verdict:
        """Judge a photo, uint8 RGB (H, W, 3). Of a photo that is longer than all learned ones, the worst square."""
        squares = self.squares(photo)
        if self.gate is None:
            return Verdict(**asdict(self.name(squares, [True])[0]))
        result = self.gate.inspect(photo)
        (naming,) = self.name(worst_square(squares, result)[None], [result.score > self.gate.threshold])
        return Verdict(**asdict(naming), gate_score=result.score, gate_threshold=self.gate.threshold)

    def save(self, path: Path) -> None:
        """Write everything that is needed to judge photos on another machine. Raises UserError if that fails."""
        one = self.classifier
        state = {
            "kind": _KIND,
            "known": list(self.known),
            "classifier": {
                "settings": one.settings.model_dump(mode="json"),
                "mode": one.mode,
                "run": one.run.model_dump(mode="json"),
                "state": one.state(),
            },
            "rejection": self.rejection.model_dump(mode="json"),
            "rejector": {
                "names": list(self.rejector.names),
                "scales": [[[scale.median, scale.unit] for scale in of] for of in self.rejector.scales],
                "threshold": self.rejector.threshold,
                "alpha": self.rejector.alpha,
            },
            "taught": {
                "embeddings": torch.from_numpy(self.taught.embeddings),
                "logits": torch.from_numpy(self.taught.logits),
                "labels": torch.from_numpy(self.labels),
            },
            "elongation": self.elongation,
            "gate": None if self.gate is None else state_of(self.gate.inspector),
            "weights": {name: dict(tensors) for name, tensors in self.weights.items()},
        }
        save_state(state, path)


def load_open_set_model(path: Path, device: str = "auto", *, with_gate: bool = True) -> OpenSetModel:
    """Read a saved model; no weights are needed beside it.

    Raises UserError if the file is missing, damaged, of another kind, or cannot be used on this machine.
    """
    return open_set_model_of(load_state(path), path, device, with_gate=with_gate)


def open_set_model_of(
    state: Mapping[str, Any], path: Path, device: str = "auto", *, with_gate: bool = True
) -> OpenSetModel:
    """Restore a model from the ``state`` in the file at ``path``. Raises UserError as ``load_open_set_model`` does."""
    if not is_open_set(state):
        raise UserError(f"{path} is no open-set model; open_set_recognition.py writes one as split_<name>/model.pt")
    try:
        with tempfile.TemporaryDirectory() as folder:
            files = {name: _as_file(tensors, Path(folder, f"{name}.pt")) for name, tensors in state["weights"].items()}
            return _restored(state, files, device, with_gate)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"{path} was written by another version of this toolkit ({error}); run report again") from None


def worst_square(squares: np.ndarray, result: Inspection) -> np.ndarray:
    """Pick the one of a photo's ``squares`` that PatchCore scored highest; a photo that stayed whole has but one."""
    return np.asarray(squares[result.worst_tile % len(squares)])


def is_open_set(state: Mapping[str, Any]) -> bool:
    """Tell whether the content of a model's file is that of an open-set model."""
    return state.get("kind") == _KIND


def weights_in(files: Mapping[str, Path | None]) -> dict[str, dict[str, torch.Tensor]]:
    """Read the tensors of each network's file of weights, as far as it has one."""
    return {name: read_state_dict(file) for name, file in files.items() if file is not None}


def _as_file(tensors: Mapping[str, torch.Tensor], path: Path) -> Path:
    torch.save(dict(tensors), path)
    return path


def _restored(state: Mapping[str, Any], files: Mapping[str, Path], device: str, with_gate: bool) -> OpenSetModel:
    saved, parts, taught = state["classifier"], state["rejector"], state["taught"]
    settings, run = ClassifierSettings.model_validate(saved["settings"]), RunSettings.model_validate(saved["run"])
    classifier = Classifier(
        settings, saved["mode"], weights=files.get(settings.backbone), run=run, device=resolve_device(device)
    ).restore(saved["state"])
    embedded = Embedded(taught["embeddings"].numpy(), taught["logits"].numpy())
    labels, rejection = taught["labels"].numpy(), RejectionSettings.model_validate(state["rejection"])
    fitted = fit_scores(embedded, labels, rejection)
    rejector = Rejector(
        tuple(parts["names"]),
        tuple(fitted[name] for name in parts["names"]),
        tuple(tuple(Scale(*scale) for scale in of) for of in parts["scales"]),
        parts["threshold"],
        parts["alpha"],
    )
    gate = _gate(state["gate"], files, device) if with_gate and state["gate"] is not None else None
    return OpenSetModel(
        classifier,
        rejector,
        tuple(state["known"]),
        embedded,
        labels,
        rejection,
        state["elongation"],
        gate,
        state["weights"],
    )


def _gate(state: dict[str, Any], files: Mapping[str, Path], device: str) -> SteelGate:
    """Restore PatchCore through a file of its own, as ``Inspector.load`` reads files."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "gate.pkl")
        save_state(state, file)
        return SteelGate(Inspector.load(file, device, weights=files.get(state["backbone"])))


def summary_line(verdicts: Sequence[str], failed: int) -> str:
    """Count verdicts in one line."""
    counts = {name: verdicts.count(name) for name in dict.fromkeys(sorted(verdicts))}
    return ", ".join([*(f"{count} {name}" for name, count in counts.items()), f"{failed} could not be read"])
