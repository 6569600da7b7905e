"""Open an exported model without torch."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from fastener.common.errors import UserError
from fastener.config import Config, RunSettings
from fastener.inspection.base_inspector import BaseInspector
from fastener.inspection.decision import Decision
from fastener.inspection.evidence_base import Setup
from fastener.inspection.input_check import InputCheck
from fastener.inspection.judging import Scorer
from fastener.inspection.model_folder import load_model
from fastener.inspection.registry import EVIDENCE
from fastener.inspection.saved_config import saved_config
from fastener.runtime.evidence import BankEvidence

_WITHOUT_NETWORK = ("colour", "shape", "count")  # kinds that never needed torch


def load(path: Path | str, run: RunSettings | None = None) -> BaseInspector:
    """Open a model that ``export.py`` wrote: a folder, or a file that holds the graphs.

    Parameters
    ----------
    path : Path or str
        File or folder of the model.
    run : RunSettings, optional
        Threads that read ahead; one if it is missing. Photos are judged one at a time, so that memory stays small and
        each is answered as soon as it can be: on a CPU a batch is no faster.

    Raises
    ------
    UserError
        If the model is missing, damaged or of another version, was not exported, or ONNX Runtime is not installed.
    """
    path = Path(path)
    state = load_model(path, by_numpy=True)
    try:
        return _inspector(path, state, run)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"{path} was written by another version of this toolkit; export it again ({error})") from None


def can_load(path: Path) -> bool:
    """Tell whether ``load`` opens the folder at ``path``: it was exported, and ONNX Runtime is installed."""
    return path.is_dir() and bool(list(path.glob("*_features-????????.onnx"))) and find_spec("onnxruntime") is not None


def _inspector(path: Path, state: dict[str, Any], run: RunSettings | None) -> BaseInspector:
    workers = 1 if run is None else run.workers
    config = saved_config(state["config"], RunSettings(batch_size=1, workers=workers))
    decision = Decision.from_state(state["decision"])
    check = InputCheck.from_state(state["input_check"]) if state.get("input_check") else None
    evidence = {kind: _evidence(path, kind, saved, config) for kind, saved in state["evidence"].items()}
    threshold, source = state["threshold"]
    return BaseInspector(config, evidence=evidence, decision=decision, check=check, threshold=(threshold, source))


def _evidence(path: Path, kind: str, saved: dict[str, Any], config: Config) -> Scorer:
    if "features" in saved:
        return BankEvidence(saved, config.model)
    if kind not in _WITHOUT_NETWORK:
        raise UserError(
            f"{path}: evidence {kind} has no graph; run export.py where PyTorch is (it makes graphs of cnn and filters)"
        )
    one = EVIDENCE[kind](Setup(config, cast(Any, "cpu"), "filters"))
    one.restore(saved)
    return one
