"""Save a model as a folder: one file as of any other model, and beside it the ONNX graphs of the model's networks.

"graph" in the state of a kind of evidence is its network, "features" all that follows to the features of a patch. The
graphs are files of their own, so that other tools can read them too. The name of a graph holds the first digits of
its SHA-256, and the model's file is written last. So a run that is killed leaves the old model or the new one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from fastener.common.errors import UserError
from fastener.common.files import write_atomically
from fastener.models.runtime.storage import load_state, save_state

MODEL_FILE = "exported.pkl"
_MB = 1_000_000
_GRAPHS = "*-????????.onnx"
_PARTS = {"graph": "", "features": "_features"}  # what follows the kind of evidence in the name of the graph's file


def file_of(path: Path) -> Path:
    """Find the file of the model at ``path``, which may be a folder."""
    return path / MODEL_FILE if (path / MODEL_FILE).is_file() else path


def save_model(state: dict[str, Any], path: Path) -> None:
    """Write a model's ``state``.

    It becomes a folder if ``path`` is a folder or is named exported.pkl; otherwise it becomes a single file that holds
    the graphs, too. Raises UserError if it cannot be written.
    """
    if not path.is_dir() and path.name != MODEL_FILE:
        save_state(state, path)
        return
    folder = path if path.is_dir() else path.parent
    ours = (folder / MODEL_FILE).is_file()
    evidence: dict[str, Any] = {}
    names: set[str] = set()
    for kind, one in state["evidence"].items():
        evidence[kind] = dict(one)
        for part in (part for part in _PARTS if part in one):
            content = np.asarray(one[part].cpu()).tobytes()
            digest = hashlib.sha256(content).hexdigest()
            name = f"{kind}{_PARTS[part]}-{digest[:8]}.onnx"
            write_atomically(folder / name, content)
            names.add(name)
            evidence[kind][part] = {"file": name, "sha256": digest}
    save_state({**state, "evidence": evidence}, folder / MODEL_FILE)
    for old in folder.glob(_GRAPHS) if ours else ():
        if old.name not in names:
            old.unlink(missing_ok=True)


def load_model(path: Path, *, by_numpy: bool = False) -> dict[str, Any]:
    """Read the ``state`` of a model that ``save_model`` wrote, with its graphs.

    ``by_numpy`` reads it without torch, with an ndarray for each tensor. Raises UserError.
    """
    if path.is_dir():
        if not (path / MODEL_FILE).is_file():
            raise UserError(f"{path} is a folder without {MODEL_FILE}: not a model; name one with --model")
        path = path / MODEL_FILE
    state = load_state(path, by_numpy=by_numpy)
    try:
        # An open-set model has none. A tensor has values, too, of which only sparse ones can be taken.
        for one in dict.values(state.get("evidence", {})):
            for part in _PARTS:
                if isinstance(one.get(part), dict):
                    one[part] = _read_graph(path.parent / Path(one[part]["file"]).name, one[part]["sha256"], by_numpy)
    except (AttributeError, LookupError, TypeError):
        raise UserError(f"{path} was written by another version of this toolkit; train it again") from None
    return state


def size_of(folder: Path) -> str:
    """State how large a model's folder is, and of what."""
    graphs = sum(path.stat().st_size for path in folder.glob("*.onnx"))
    whole = graphs + (folder / MODEL_FILE).stat().st_size
    banks = [one["bank"] for one in load_model(folder)["evidence"].values() if "bank" in one]
    bank = sum(one.numel() * one.element_size() for one in banks)
    kinds = ", ".join(dict.fromkeys(str(one.dtype).removeprefix("torch.") for one in banks))
    parts = f"network {graphs / _MB:.1f} MB, bank {bank / _MB:.1f} MB ({kinds})"
    return f"{whole / _MB:.1f} MB, of it {parts}"


def _read_graph(path: Path, digest: str, by_numpy: bool) -> Any:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; a model folder is copied as a whole") from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise UserError(f"{path} is damaged, or of another model; export it again with export.py")
    graph = np.frombuffer(content, np.uint8)
    if by_numpy:
        return graph
    import torch

    return torch.from_numpy(graph.copy())
