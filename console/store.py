"""Store images as files named by their SHA-256, each once."""

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
# Names that ``save`` and ``derived`` give to files. The folder may hold other files, which are left alone.
_OWN = re.compile(r"([0-9a-f]{2})/\1[0-9a-f]{62}(-[0-9]+)?")


class PictureStore:
    """A folder of images, found by checksum. All methods may be called from any thread.

    ``save`` sets a file's modification time even if the file exists; ``delete_older_than`` goes by that time.

    Parameters
    ----------
    folder : Path
        Folder of the images; it is made when the first image is saved.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._lock = threading.Lock()

    def save(self, content: bytes, checksum: str | None = None, *, durable: bool = True) -> str:
        """Store ``content`` unless it is stored already, and return its SHA-256; pass ``checksum`` if it is known.

        With ``durable`` it is on the disk when this returns, else a power cut may leave it empty.
        """
        checksum = checksum or sha256(content).hexdigest()
        path = self._path_of(checksum)
        with self._lock:
            if _is_whole(path):
                os.utime(path)
                return checksum
        write_atomically(path, content, durable)
        return checksum

    def path(self, checksum: str) -> Path | None:
        """Return the file, or None if it was never saved, was lost in a power cut, or has been deleted."""
        path = self._path_of(checksum)
        return path if _is_whole(path) else None

    def derived(self, checksum: str, side: int, make: Callable[[Path, int], bytes]) -> Path | None:
        """Return a smaller copy, which ``make(file, side)`` makes at the first call; None if the file is gone."""
        file = self.path(checksum)
        if file is None:
            return None
        copy = file.with_name(f"{checksum}-{side}")
        if not copy.is_file():
            write_atomically(copy, make(file, side))
        return copy

    def delete_older_than(self, days: float) -> int:
        """Delete images that were last saved more than ``days`` ago, with their copies; return the number of files.

        Files that this class did not name, and unfinished files, stay. Raises OSError if a file cannot be deleted.
        """
        before = time.time() - days * _DAY
        found = sorted(self.folder.glob("??/*"))
        own = (path for path in found if _OWN.fullmatch(f"{path.parent.name}/{path.name}") and path.is_file())
        return sum(self._deleted(path, before) for path in own)

    def _deleted(self, path: Path, before: float) -> bool:
        original = path.with_name(path.name.partition("-")[0])
        # Another process may delete the same files.
        with self._lock, suppress(FileNotFoundError):
            if path.stat().st_mtime < before or not original.is_file():
                path.unlink()
                return True
        return False

    def _path_of(self, checksum: str) -> Path:
        return self.folder / checksum[:2] / checksum


def _is_whole(path: Path) -> bool:
    """Tell whether a file is there and not empty, as a power cut may leave one."""
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
