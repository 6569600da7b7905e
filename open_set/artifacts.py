"""Store the result of a step with the fingerprint of its inputs, so that the step is not run again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastener.common.errors import UserError
from fastener.models.runtime.storage import load_state, save_state

State = dict[str, Any]


def fingerprint_of(inputs: Mapping[str, Any]) -> str:
    """Compute the SHA-256 of plain values, such as settings and fingerprints of earlier steps, in any order of keys."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()


def stored(path: Path, inputs: Mapping[str, Any], compute: Callable[[], State]) -> State:
    """Read a state from ``path`` if it was computed from the same ``inputs``; otherwise compute and write it.

    The file is written whole or not at all, so that a killed run resumes at the first step without a file. States are
    nested dicts and lists of tensors, numbers and strings.
    """
    fingerprint = fingerprint_of(inputs)
    found = _found(path, fingerprint)
    if found is not None:
        return found
    state = compute()
    save_state({"fingerprint": fingerprint, "state": state}, path)
    return state


def _found(path: Path, fingerprint: str) -> State | None:
    if not path.is_file():
        return None
    try:
        content = load_state(path)
    except UserError:  # the file is damaged or of another version, so the state is computed again
        return None
    same: bool = content.get("fingerprint") == fingerprint
    return content["state"] if same else None
