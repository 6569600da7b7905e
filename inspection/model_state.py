"""A fitted inspector as plain values and tensors, and back: the contents of a model file."""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fastener.common.errors import UserError
from fastener.config import Config, RunSettings
from fastener.inspection.decision import Decision
from fastener.inspection.evidence_base import Evidence, Setup, sharing
from fastener.inspection.input_check import InputCheck
from fastener.inspection.pretrained import decided, for_saved
from fastener.inspection.registry import EVIDENCE
from fastener.inspection.saved_config import saved_config
from fastener.inspection.threshold_report import ThresholdReport
from fastener.inspection.training import TrainingRecord
from fastener.models.runtime.device import resolve_device

if TYPE_CHECKING:
    from fastener.inspection.inspector import Inspector

_VERSIONS = ("torch", "torchvision", "numpy", "faiss-cpu")


@dataclass(frozen=True)
class Restored:
    """Hold what an inspector is made of, as it was read from a model file."""

    config: Config
    setup: Setup
    evidence: dict[str, Evidence]
    decision: Decision
    training: TrainingRecord
    threshold: float
    threshold_source: str
    notes: dict[str, str]
    check: InputCheck | None
    report: ThresholdReport | None


def state_of(inspector: Inspector) -> dict[str, Any]:
    """Collect everything that is needed to give the same scores again, except a backbone's public weights."""
    run = inspector.config.run
    if inspector.backbone != "filters":
        run = decided(run, inspector.device, inspector.backbone)
    return {
        "config": inspector.config.model_copy(update={"run": run}).model_dump(mode="json"),
        "backbone": inspector.backbone,
        "evidence": {kind: _small(one.state()) for kind, one in inspector.evidence.items()},
        "decision": inspector.decision.state(),
        "threshold": [inspector.threshold, inspector.threshold_source],
        "checksums": list(inspector.training.checksums),
        # Half precision keeps correlations to 1e-3, far finer than the gap between copies and different photos.
        "signatures": inspector.training.signatures.astype(np.float16),
        "groups": inspector.training.groups,
        "left_out": inspector.training.left_out,
        "names": list(inspector.training.names),
        "disturbed": inspector.training.disturbed,
        "input_check": None if inspector.check is None else inspector.check.state(),
        "report": None if inspector.report is None else inspector.report.state(),
        "notes": inspector.notes,
        "versions": {name: version(name) for name in _VERSIONS} | {"python": platform.python_version()},
    }


def _small(state: dict[str, Any]) -> dict[str, Any]:
    """Keep a bank in float16 where that loses no digit, as in all banks whose rows are features as they were collected.

    Distances are computed in float32 from the same numbers, so that no score changes.
    """
    bank = state.get("bank")
    if not isinstance(bank, torch.Tensor) or bank.dtype != torch.float32:
        return state
    half = bank.half()
    return {**state, "bank": half} if torch.equal(half.float(), bank) else state


def restore_from(
    state: dict[str, Any], path: Path, *, device: str, weights: Path | None, run: RunSettings | None
) -> Restored:
    """Rebuild the parts of an inspector from the ``state`` in the model at ``path``; ``run`` as in ``restore``.

    Raises UserError if the model is of another version or cannot be used on this machine.
    """
    try:
        return restore(state, device=device, weights=weights, run=run)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" in str(error):
            raise  # the file is good, but the machine has too little memory
        raise UserError(f"{path} was written by another version of this toolkit; train it again") from None


def restore(state: dict[str, Any], *, device: str, weights: Path | None, run: RunSettings | None) -> Restored:
    """Rebuild the parts of an inspector from the ``state`` of a model file.

    ``run`` gives batch size, workers, memory limit, precision and runtime for this machine; None keeps the settings of
    training. Raises UserError if this machine lacks what the model needs, and one of the errors of looking up and
    converting values if the state is of another version.
    """
    config = saved_config(state["config"], run)
    setup = Setup(config, resolve_device(device), state["backbone"], weights)
    if setup.backbone != "filters":
        config = config.model_copy(update={"run": for_saved(run or RunSettings(), config.run, setup.device)})
        setup = replace(setup, config=config)
    setup = replace(setup, sharing=sharing(state["evidence"]))
    evidence = {}
    for kind, saved in state["evidence"].items():
        evidence[kind] = EVIDENCE[kind](replace(setup, graph=saved.get("graph")))
        evidence[kind].restore(saved)
    decision = Decision.from_state(state["decision"])
    decision.threshold()  # a decision of another version fails here, and not when the first photo is judged
    threshold, source = state["threshold"]
    return Restored(
        config=config,
        setup=setup,
        evidence=evidence,
        decision=decision,
        training=TrainingRecord(
            tuple(state["checksums"]),
            state["signatures"].float().numpy(),
            state["groups"].numpy(),
            state.get("left_out", state["groups"]).numpy(),
            tuple(str(name) for name in state.get("names", ())),
            int(state.get("disturbed", 0)),
        ),
        threshold=threshold,
        threshold_source=source,
        # Models of earlier versions lack these.
        notes=state.get("notes", {}),
        check=InputCheck.from_state(state["input_check"]) if state.get("input_check") else None,
        report=ThresholdReport.from_state(state["report"]) if state.get("report") else None,
    )
