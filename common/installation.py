"""Say what to type, for the user of a clone and for the user of an installed package."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
# The wheel leaves the requirements files out.
IS_CLONE = (_ROOT / "requirements").is_dir()


def install_extra(name: str) -> str:
    """Return the command that installs the packages of the extra ``name``, e.g. "onnx"."""
    return f"pip install -r requirements/{name}.txt" if IS_CLONE else f"pip install 'fastener[{name}]'"
