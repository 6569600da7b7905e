"""Steps that are not run again: a file carries the fingerprint of all that went into it."""

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
    """SHA-256 of settings and of the fingerprints of earlier steps: plain values, in any order of keys."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()


def stored(path: Path, inputs: Mapping[str, Any], compute: Callable[[], State]) -> State:
    """What ``compute`` returns, from ``path`` if it was computed from the same ``inputs``, else computed and written.

    The file appears whole or not at all: a run that was killed goes on with the first step that has none. States are
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
    except UserError:  # damaged, or of another version: computed again
        return None
    same: bool = content.get("fingerprint") == fingerprint
    return content["state"] if same else None
