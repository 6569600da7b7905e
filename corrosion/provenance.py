"""State what a report rests on: the checksum of each photo, and the versions of the software."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import fastener


def software() -> dict[str, str]:
    """List the versions of this package, of Python, and of the packages that measure."""
    return {
        "fastener": fastener.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }


def photo_checksums(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """List each photo of component records with its SHA-256 checksum, in their order; None for an unreadable file."""
    found = []
    for record in records:
        shots = [(hours, shot["path"]) for hours, point in record["timepoints"].items() for shot in point["shots"]]
        shots += [(None, failed["path"]) for failed in record["failed"]]
        for hours, path in shots:
            entry = {"path": path, "component": record["component"], "hours": hours, "sha256": _checksum(Path(path))}
            found.append(entry)
    return found


def _checksum(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
