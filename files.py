"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from pathlib import Path

from errors import UserError


def write_atomically(path: Path, content: bytes | str, durable: bool = True) -> None:
    """Write beside ``path``, then rename: a killed run leaves the old file, or none. Makes the folder if need be.

    ``durable`` waits until the disk has it, so that a power cut leaves one or the other, too; it takes longer than to
    draw a picture, which can be drawn again. Raises UserError if it cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        beside = _beside(path)
        try:
            with beside.open("wb") as file:
                file.write(data)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from None


def check_writable(path: Path) -> None:
    """Before long work: raise UserError if a file cannot be written at ``path``. Makes the folder if need be."""
    try:
        _beside(path)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _cannot_write(path, error) from None


class GrowingFile:
    """A text file written piece by piece beside ``path``; ``close`` renames it.

    A piece is in the file whole or not at all, so that a full disk or an interruption keeps what was written before.
    Raises UserError if it cannot be written.
    """

    def __init__(self, path: Path):
        self._path = path
        self._size = 0
        try:
            self._temporary = _beside(path)
            self._file = self._temporary.open("wb", buffering=0)
        except OSError as error:
            raise _cannot_write(path, error) from None

    def write(self, text: str) -> int:
        """Append ``text`` as UTF-8; file names that are not valid Unicode are written with escapes."""
        data = text.encode("utf-8", "backslashreplace")
        try:
            written = 0
            while written < len(data):
                written += self._file.write(data[written:])
            self._size += written
        except OSError as error:
            raise _cannot_write(self._path, error) from None
        finally:
            self._file.truncate(self._size)
            self._file.seek(self._size)
        return len(text)

    def close(self) -> None:
        """Put the file in its place."""
        try:
            self._file.close()
            self._temporary.replace(self._path)
        except OSError as error:
            self._temporary.unlink(missing_ok=True)
            raise _cannot_write(self._path, error) from None


def _beside(path: Path) -> Path:
    """A name in the folder of ``path``, which is made, that no other process or thread uses."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder; name a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")


def _cannot_write(path: Path, error: OSError) -> UserError:
    return UserError(f"cannot write {path}: {error.strerror or error}")
