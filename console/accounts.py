"""People who sign in by name: their roles, and argon2 hashes of their passwords."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import sessionmaker

from fastener.common.errors import UserError
from fastener.console.tables import AccountRow, SessionRow

Role = Literal["operator", "qa", "admin"]
# Each role may do what the roles before it may.
ROLES: tuple[Role, ...] = ("operator", "qa", "admin")
PASSWORD_LENGTH = 8
_FRESH_S = 10.0  # the number of accounts is not asked for again for so long


@dataclass(frozen=True)
class Person:
    """Who sends a request.

    Attributes
    ----------
    name : str
        Name of the account; "" for the holder of the token, and where nobody has to sign in.
    role : str
        "operator" inspects and reviews; "qa" also changes thresholds, reloads models and exports images; "admin" also
        manages accounts.
    active : bool
        Whether the account may sign in.
    """

    name: str
    role: Role
    active: bool = True

    def may(self, role: Role) -> bool:
        """Tell whether the person may do what ``role`` may."""
        return ROLES.index(self.role) >= ROLES.index(role)


TOKEN_HOLDER = Person("", "admin")
ANYBODY = Person("", "qa")  # nobody can lock others out of a service in which nobody has to sign in


class Accounts:
    """Accounts in the database. All methods may be called from any thread.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Database of the present schema.
    """

    def __init__(self, engine: Engine):
        self._session = sessionmaker(engine)
        self._hasher = PasswordHasher()
        self._one = threading.Lock()  # a check takes 64 MiB, so that many at once would exhaust the memory
        self._exist, self._asked = False, -_FRESH_S
        self._unknown = self._hasher.hash("nobody has this account")

    def known(self) -> bool | None:
        """Tell whether there is any account if that was asked lately, else None; never waits for the database."""
        return self._exist if time.monotonic() - self._asked < _FRESH_S else None

    def exist(self) -> bool:
        """Tell whether there is any account."""
        if self.known() is None:
            with self._session() as session:
                self._exist = session.scalar(select(AccountRow.name).limit(1)) is not None
            self._asked = time.monotonic()
        return self._exist

    def all(self) -> list[Person]:
        """List all accounts by name."""
        with self._session() as session:
            rows = session.scalars(select(AccountRow).order_by(AccountRow.name)).all()
        return [person_of(row) for row in rows]

    def put(
        self, name: str, role: Role | None = None, password: str | None = None, *, active: bool | None = None
    ) -> Person:
        """Add an account, or change what is given of an existing one.

        A new password, and an account that is switched off, end its sessions. Raises UserError for a short password,
        and for a new account without role or password.
        """
        if password is not None and len(password) < PASSWORD_LENGTH:
            raise UserError(f"a password needs at least {PASSWORD_LENGTH} characters")
        with self._one:
            digest = None if password is None else self._hasher.hash(password)
        with self._session.begin() as session:
            row = session.get(AccountRow, name)
            if row is None:
                if role is None or digest is None:
                    raise UserError("a new account needs a role and a password")
                row = AccountRow(name=name, created_at=datetime.now(UTC), active=True)
                session.add(row)
            row.role, row.digest = role or row.role, digest or row.digest
            row.active = row.active if active is None else active
            person = person_of(row)
            if digest is not None or not person.active:
                session.execute(delete(SessionRow).where(SessionRow.name == name))
        self._asked = -_FRESH_S
        return person

    def remove(self, name: str) -> bool:
        """Remove an account, whose sessions end with it; tell whether there was one."""
        with self._session.begin() as session:
            found = session.execute(delete(AccountRow).where(AccountRow.name == name).returning(AccountRow.name)).all()
        self._asked = -_FRESH_S
        return bool(found)

    def check(self, name: str, password: str) -> Person | None:
        """Return the person if the password is right. A name that is not known takes as long as a wrong password."""
        with self._session() as session:
            row = session.get(AccountRow, name)
        try:
            with self._one:
                self._hasher.verify(self._unknown if row is None else row.digest, password)
        except (VerificationError, InvalidHashError):
            return None
        return None if row is None or not row.active else person_of(row)


def person_of(row: AccountRow) -> Person:
    """Make the person of an account."""
    role = next((role for role in ROLES if role == row.role), ROLES[0])
    return Person(row.name, role, row.active)
