"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import tempfile
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from fastener.common.errors import UserError

# Beside this package, in a clone as in an installed wheel.
CONFIGS = Path(__file__).resolve().parents[1] / "configs"
_TEMPORARY = re.compile(r"\..+\.[0-9]+-[0-9]+\.tmp", re.DOTALL)
_DAY = 24 * 60 * 60


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
        self._ending = b""
        try:
            self._temporary = _beside(path)
            self._file = self._temporary.open("wb", buffering=0)
        except OSError as error:
            raise _cannot_write(path, error) from None

    def write(self, text: str, ending: str = "") -> int:
        """Append ``text`` as UTF-8, and ``ending``, which the next piece replaces: the file is whole after every piece.

        File names that are not valid Unicode are written with escapes.
        """
        piece, tail = (one.encode("utf-8", "backslashreplace") for one in (text, ending))
        try:
            self._put(piece + tail)
        except BaseException:
            # Over the piece's own first bytes: there is room for these even on a full disk.
            self._put(self._ending)
            self._file.truncate()
            raise
        self._size, self._ending = self._size + len(piece), tail
        return len(text)

    def close(self) -> None:
        """Put the file in its place; one that nothing could be written to is removed."""
        try:
            with self._file:
                os.fsync(self._file.fileno())
            if self._size:
                self._temporary.replace(self._path)
        except OSError as error:
            raise _cannot_write(self._path, error) from None
        finally:
            self._temporary.unlink(missing_ok=True)

    def _put(self, data: bytes) -> None:
        """Write after the last whole piece."""
        try:
            self._file.seek(self._size)
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            raise _cannot_write(self._path, error) from None


def file_state(path: Path | None) -> bytes:
    """Name a file, or each file of a folder, with its size in bytes and the time of its last change."""
    if path is None:
        return b"-\n"
    if path.is_dir():
        return b"".join(file_state(inside) for inside in sorted(path.iterdir()))
    try:
        stat = path.stat()
    except OSError:
        return os.fsencode(f"{path} gone\n")
    return os.fsencode(f"{path} {stat.st_size} {stat.st_mtime_ns}\n")


def _beside(path: Path) -> Path:
    """A name in the folder of ``path``, which is made, that no other process or thread uses."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder; name a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path.parent)
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")


@cache
def _remove_leftovers(folder: Path) -> None:
    """Remove, once a process, what runs that were killed left beside their files and nobody wrote to for a day.

    Whether a process still runs cannot be seen where machines or containers share a folder; the time of change can.
    """
    with suppress(OSError):
        for path in folder.iterdir():
            if _TEMPORARY.fullmatch(path.name) and time.time() - path.stat().st_mtime > _DAY:
                path.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> UserError:
    return UserError(f"cannot write {path}: {error.strerror or error}")
