"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from errors import UserError


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write beside ``path``, then rename: a killed run leaves the old file, or none. Makes the folder if need be.

    Raises UserError if it cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    beside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
