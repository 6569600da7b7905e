"""Who is signed in: sessions in the database, and how often an address may be wrong about the token."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict, deque
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from sqlalchemy import Engine, delete
from sqlalchemy.orm import sessionmaker

from fastener.console.accounts import TOKEN_HOLDER, Person, person_of
from fastener.console.tables import AccountRow, SessionRow

_LOG = logging.getLogger("uvicorn.error")
LASTS = timedelta(hours=12)
_TRUSTED_S = 30.0  # a session that was found in the database is not looked up again for so long
_MOST_ADDRESSES = 10_000


class Sessions:
    """Sessions of people who gave the token, or their name and password. All methods may be called from any thread.

    The database holds a digest of each identifier, so that a copy of it signs nobody in.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Database of the present schema.
    lasts : timedelta
        Time after which a person has to sign in again.
    """

    def __init__(self, engine: Engine, lasts: timedelta = LASTS):
        self._session = sessionmaker(engine)
        self.lasts = lasts
        self._known: dict[str, tuple[Person, float]] = {}

    def begin(self, name: str = "") -> str:
        """Store a new session, and return its identifier for the cookie. Sessions that ended are removed.

        ``name`` is the account that signed in, "" for the holder of the token.
        """
        identifier, now = secrets.token_urlsafe(32), datetime.now(UTC)
        with self._session.begin() as session:
            session.execute(delete(SessionRow).where(SessionRow.ends_at < now))
            session.add(SessionRow(digest=_digest(identifier), ends_at=now + self.lasts, name=name))
        return identifier

    def known(self, identifier: str) -> Person | None:
        """Tell who a session belongs to if that was asked lately, else None; never waits for the database."""
        person, until = self._known.get(_digest(identifier), (None, 0.0))
        return person if until > time.monotonic() else None

    def person(self, identifier: str) -> Person | None:
        """Tell who a session belongs to; None for one that has ended, or whose account is gone or switched off."""
        known = self.known(identifier)
        if known is not None:
            return known
        digest = _digest(identifier)
        self._known.pop(digest, None)
        with self._session() as session:
            row = session.get(SessionRow, digest)
            account = session.get(AccountRow, row.name) if row is not None and row.name else None
        if row is None or row.ends_at <= datetime.now(UTC) or (row.name and (account is None or not account.active)):
            return None
        person = TOKEN_HOLDER if account is None else person_of(account)
        left = (row.ends_at - datetime.now(UTC)).total_seconds()
        self._known[digest] = person, time.monotonic() + min(_TRUSTED_S, left)
        return person

    def end(self, identifier: str) -> None:
        """End a session. Other servers on the same database notice within half a minute."""
        digest = _digest(identifier)
        self._known.pop(digest, None)
        with self._session.begin() as session:
            session.execute(delete(SessionRow).where(SessionRow.digest == digest))


class Attempts:
    """Wrong tokens by address: after ``most`` within ``seconds`` an address has to wait.

    Parameters
    ----------
    most : int
        Number of wrong tokens that are allowed.
    seconds : float
        Time after which a wrong token is forgotten.
    """

    def __init__(self, most: int = 10, seconds: float = 60.0):
        self.most, self.seconds = most, seconds
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def failed(self, address: str) -> None:
        """Record a wrong token, and log the first one and the one that closes the door."""
        with self._lock:
            times = self._wrong.setdefault(address, deque(maxlen=self.most))
            self._wrong.move_to_end(address)
            times.append(time.monotonic())
            count = self._recent(address)
            while len(self._wrong) > _MOST_ADDRESSES:
                self._wrong.popitem(last=False)
        if count == 1:
            _LOG.warning("wrong token from %s", address)
        elif count == self.most:
            _LOG.warning("%d wrong tokens from %s: it has to wait for %g s", count, address, self.seconds)

    def must_wait(self, address: str) -> float:
        """Return the seconds that an address has to wait, 0 for one that may try."""
        with self._lock:
            if self._recent(address) < self.most:
                return 0.0
            return max(1.0, self._wrong[address][0] + self.seconds - time.monotonic())

    def _recent(self, address: str) -> int:
        times = self._wrong.get(address)
        while times and times[0] < time.monotonic() - self.seconds:
            times.popleft()
        return len(times or ())


def _digest(identifier: str) -> str:
    return sha256(identifier.encode("utf-8", "replace")).hexdigest()
