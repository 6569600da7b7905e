"""Images as files, each once, named by its SHA-256."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from fastener.common.files import write_atomically

_DAY = 24 * 60 * 60
# What ``keep`` and ``derived`` write; the folder may hold files of other people.
_OWN = re.compile(r"([0-9a-f]{2})/\1[0-9a-f]{62}(-[0-9]+)?")


class PictureStore:
    """``keep`` gives a checksum, ``path`` finds the file again. Safe to use from threads.

    A file's time of change is that of its last ``keep``; that is what ``forget`` goes by.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._lock = threading.Lock()

    def keep(self, content: bytes, checksum: str | None = None) -> str:
        """Store ``content`` unless it is there already; its SHA-256 can be given where it is known."""
        checksum = checksum or sha256(content).hexdigest()
        path = self._place(checksum)
        with self._lock:
            if path.is_file():
                os.utime(path)
                return checksum
        write_atomically(path, content)
        return checksum

    def path(self, checksum: str) -> Path | None:
        """The file, or None if it was never kept or is gone."""
        path = self._place(checksum)
        return path if path.is_file() else None

    def derived(self, checksum: str, side: int, make: Callable[[Path, int], bytes]) -> Path | None:
        """A smaller copy, made by ``make(file, side)`` when it is first asked for; None without the file itself."""
        file = self.path(checksum)
        if file is None:
            return None
        copy = file.with_name(f"{checksum}-{side}")
        if not copy.is_file():
            write_atomically(copy, make(file, side))
        return copy

    def forget(self, days: float) -> int:
        """Remove what nobody kept for ``days``, and smaller copies of it; returns how many files went.

        Files that this class did not name, and those that are being written, stay. Raises OSError if one cannot go.
        """
        before = time.time() - days * _DAY
        found = sorted(self.folder.glob("??/*"))
        own = (path for path in found if _OWN.fullmatch(f"{path.parent.name}/{path.name}") and path.is_file())
        return sum(self._removed(path, before) for path in own)

    def _removed(self, path: Path, before: float) -> bool:
        original = path.with_name(path.name.partition("-")[0])
        # Another process may remove the same files.
        with self._lock, suppress(FileNotFoundError):
            if path.stat().st_mtime < before or not original.is_file():
                path.unlink()
                return True
        return False

    def _place(self, checksum: str) -> Path:
        return self.folder / checksum[:2] / checksum
