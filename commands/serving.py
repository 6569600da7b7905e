"""Read models of every kind that start_app.py serves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fastener.common.errors import UserError

if TYPE_CHECKING:
    from fastener.config import RunSettings
    from fastener.console.servable import Servable


def read_servable(path: Path, device: str, run: RunSettings) -> Servable:
    """Read an inspector, or an open-set model. Raises UserError if the file is neither, or cannot be used here."""
    from fastener.inspection.inspector import Inspector
    from fastener.open_set.inspector import OpenSetInspector
    from fastener.open_set.model import is_open_set_model, load_open_set_model

    try:
        return Inspector.load(path, device, run=run)
    except UserError:
        if not is_open_set_model(path):
            raise
    return OpenSetInspector(load_open_set_model(path, device))
