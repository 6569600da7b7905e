"""Bring the history to the disk shortly after it was written, so that nobody waits for the disk."""

from __future__ import annotations

import logging
import threading

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import SQLAlchemyError

_LOG = logging.getLogger("uvicorn.error")
_SOON_S = 0.1


class Flusher:
    """Sync a SQLite database within about 0.1 s of each commit, in a thread of its own.

    A commit survives a killed process at once, and a power cut after the sync. Other databases sync their commits
    themselves: for them this does nothing.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The database. ``close`` the flusher before its connections.
    """

    def __init__(self, engine: Engine):
        self._engine = engine
        self._written, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="flusher", daemon=True)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "commit", self._note)
            self._thread.start()

    def close(self) -> None:
        """Sync once more, and stop the thread."""
        if self._thread.is_alive():
            self._closed.set()
            self._written.set()
            self._thread.join()

    def _note(self, connection: Connection) -> None:
        self._written.set()

    def _work(self) -> None:
        while not self._closed.is_set():
            self._written.wait()
            self._closed.wait(_SOON_S)  # what is written meanwhile is synced with it
            self._written.clear()
            try:
                with self._engine.connect() as connection:
                    # Syncs the log of changes before it moves them into the database; waits for nobody.
                    connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")
            except SQLAlchemyError as error:
                _LOG.error("the history could not be synced to the disk: %s", error)
