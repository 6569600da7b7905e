"""One file per model: written whole or not at all, read without running code from it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from errors import UserError
from files import write_atomically

FORMAT = 1
_KIND = "fastener-anomaly-detection"


def save_state(state: dict[str, Any], path: Path) -> None:
    """Write ``state``: nested dicts and lists of tensors, numbers and strings. A killed run leaves the old file.

    Raises UserError if the file cannot be written.
    """
    buffer = io.BytesIO()
    torch.save({"kind": _KIND, "format": FORMAT, "state": state}, buffer)
    write_atomically(path, buffer.getvalue())


def load_state(path: Path) -> dict[str, Any]:
    """The ``state`` that was saved. ``weights_only`` unpickling: tensors and plain values, never code.

    Raises UserError if the file is missing, truncated, not ours, or of another format version.
    """
    if not path.is_file():
        raise UserError(f"no model at {path}; train one first (train.py) or name another with --model")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # truncated zip, foreign pickle, hostile pickle: torch raises a different family for each
        raise UserError(
            f"{path} is not a model of this toolkit, or it is damaged; train it again with train.py"
        ) from None
    if not isinstance(content, dict) or content.get("kind") != _KIND:
        raise UserError(f"{path} is not a model of this toolkit; train one with train.py")
    if content.get("format") != FORMAT:
        raise UserError(
            f"{path} has format {content.get('format')}, this version reads format {FORMAT}; "
            "train it again with train.py"
        )
    return dict(content["state"])
