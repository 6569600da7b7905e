"""One file per model: written whole or not at all, checked byte by byte, read without running code from it.

A line of text with the format's number and the SHA-256 of all that follows, then torch's zip archive of the state.
torch is imported where it is used, so that a machine without it reads models too.
Models of format 1 are the archive alone; the CRC-32 that a zip keeps of each of its parts is what is checked in those.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from fastener.common.errors import UserError
from fastener.common.files import write_atomically
from fastener.models.runtime.archive import read_archive

FORMAT = 2
_KIND = "fastener-anomaly-detection"
_HEADER = re.compile(rb"fastener-anomaly-detection model, format ([0-9]{1,6}), sha256 ([0-9a-f]{64})\n")
_ZIP = b"PK\x03\x04"


def save_state(state: dict[str, Any], path: Path) -> None:
    """Write ``state``: nested dicts and lists of tensors, numbers and strings. A killed run leaves the old file.

    Arrays are written as tensors. Raises UserError if the file cannot be written.
    """
    import torch

    buffer = io.BytesIO()
    torch.save({"kind": _KIND, "format": FORMAT, "state": with_tensors(state)}, buffer)
    archive = buffer.getbuffer()
    header = f"{_KIND} model, format {FORMAT}, sha256 {hashlib.sha256(archive).hexdigest()}\n"
    write_atomically(path, b"".join([header.encode(), archive]))


def is_model(path: Path) -> bool:
    """Tell from its first bytes whether a file is a model, whatever its name."""
    try:
        with path.open("rb") as file:
            return file.read(len(_KIND) + 6) == f"{_KIND} model".encode()
    except OSError:
        return False


def load_state(path: Path, *, by_numpy: bool = False) -> dict[str, Any]:
    """The ``state`` that was saved. ``weights_only`` unpickling: tensors and plain values, never code.

    ``by_numpy`` reads it without torch, with an ndarray for each tensor.

    Raises UserError if the file is missing, not ours, of another format version, or if any byte of it has changed.
    """
    if not path.is_file():
        raise UserError(f"no model at {path}; train one first (train.py) or name another with --model")
    try:
        with path.open("rb") as file:
            found = _check(file, path)
            content = read_archive(file) if by_numpy else _by_torch(file)
    except (UserError, MemoryError):
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except Exception:  # truncated zip, foreign pickle, hostile pickle: torch raises a different family for each
        raise UserError(
            f"{path} is not a model of this toolkit, or it is damaged; train it again with train.py"
        ) from None
    if not isinstance(content, dict) or content.get("kind") != _KIND or not isinstance(content.get("state"), dict):
        raise UserError(f"{path} is not a model of this toolkit; train one with train.py")
    if content.get("format") != found:
        raise _other_format(path, content.get("format"))
    return dict(content["state"])


def _by_torch(file: io.BufferedReader) -> Any:
    import torch

    return torch.load(file, map_location="cpu", weights_only=True)


def with_tensors(tree: Any) -> Any:
    """Turn the arrays of nested dicts into tensors, as files hold them."""
    import torch

    if isinstance(tree, dict):
        return {key: with_tensors(value) for key, value in tree.items()}
    return torch.from_numpy(tree) if isinstance(tree, np.ndarray) else tree


def _check(file: io.BufferedReader, path: Path) -> int:
    """The format's number; ``file`` then stands at the archive, and no byte of that has changed."""
    header = _HEADER.fullmatch(file.readline(200))
    found, start = (int(header[1]), file.tell()) if header else (1, 0)
    if header and found != FORMAT:
        raise _other_format(path, found)
    file.seek(start)
    if file.read(len(_ZIP)) != _ZIP:
        raise UserError(f"{path} is not a model of this toolkit, or it is damaged; train it again with train.py")
    file.seek(start)
    if header:
        damaged = hashlib.file_digest(file, "sha256").hexdigest().encode() != header[2]
    else:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip() is not None
    if damaged:
        raise UserError(f"{path} is damaged: its checksum does not fit; copy it again, or train it with train.py")
    file.seek(start)
    return found


def _other_format(path: Path, found: object) -> UserError:
    return UserError(
        f"{path} has format {found}, this version reads formats 1 and {FORMAT}; train it again with train.py"
    )
