"""Read models of every kind that start_app.py serves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastener.config import RunSettings
    from fastener.console.servable import Servable


def read_servable(path: Path, device: str, run: RunSettings) -> Servable:
    """Read an inspector, or an open-set model. Raises UserError if the file is neither, or cannot be used here."""
    from fastener.inspection.inspector import Inspector
    from fastener.inspection.model_folder import load_model
    from fastener.open_set.inspector import OpenSetInspector
    from fastener.open_set.model import is_open_set, open_set_model_of

    state = load_model(path)
    if is_open_set(state):
        return OpenSetInspector(open_set_model_of(state, path, device))
    return Inspector.of_state(state, path, device, run=run)
