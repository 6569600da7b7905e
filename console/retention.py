"""Delete old images, unless the machine's clock cannot be trusted."""

from __future__ import annotations

import logging
import time

from fastener.console.store import PictureStore

_LOG = logging.getLogger("uvicorn.error")
_HOUR, _DAY = 60 * 60, 24 * 60 * 60
_MARK = "last-cleanup"  # its modification time is the last one at which the clock was trusted


class Retention:
    """Delete images that were last inspected more than some days ago; call ``clean`` once an hour.

    A clock that is wrong by a year would make every image old. So nothing is deleted within a day after the clock
    jumped: against the machine's steady clock while the service runs, or against the last cleanup when it starts.

    Parameters
    ----------
    pictures : PictureStore
        The images.
    days : float
        Days that images are kept.
    """

    def __init__(self, pictures: PictureStore, days: float):
        self._pictures, self._days = pictures, days
        self._mark = pictures.folder / _MARK
        self._wall, self._steady = time.time(), time.monotonic()
        self._trusted_from = self._steady
        if self._mark.is_file():
            ahead = self._wall - self._mark.stat().st_mtime
            if not -_HOUR <= ahead <= _DAY:
                self._wait(f"the clock stands {ahead / _DAY:.1f} days after the last cleanup")

    def clean(self) -> int:
        """Delete old images and return their number. Raises OSError if one cannot be deleted."""
        wall, steady = time.time(), time.monotonic()
        jump = (wall - self._wall) - (steady - self._steady)
        self._wall, self._steady = wall, steady
        if abs(jump) > _HOUR:
            self._wait(f"the clock jumped by {jump / _HOUR:.0f} h")
        if steady < self._trusted_from:
            return 0
        deleted = self._pictures.delete_older_than(self._days)
        if self._pictures.folder.is_dir():
            self._mark.touch()
        return deleted

    def _wait(self, why: str) -> None:
        self._trusted_from = self._steady + _DAY
        _LOG.error("%s: no image is deleted until it has gone evenly for a day", why)
