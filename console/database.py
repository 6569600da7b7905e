"""Open the database of the history and upgrade its schema."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.util import CommandError
from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from fastener.common.errors import UserError

_MIGRATIONS = Path(__file__).with_name("migrations")


def open_database(address: str) -> Engine:
    """Connect to the database and upgrade an old schema. Raises UserError if either fails; no data are lost then."""
    url = _url(address)
    shown = url.render_as_string(hide_password=True)
    try:
        engine = create_engine(url, pool_pre_ping=url.get_backend_name() != "sqlite")
    except (ArgumentError, NoSuchModuleError):
        raise UserError(f"--database {shown}: not supported; use sqlite:///FILE or postgresql://...") from None
    except ModuleNotFoundError as error:
        raise UserError(f"--database {shown} needs a driver: pip install 'psycopg[binary]' ({error})") from None
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    try:
        upgrade(engine)
    except CommandError as error:
        engine.dispose()
        raise UserError(f"--database {shown} was written by a newer version of this console: {error}") from None
    except SQLAlchemyError as error:
        engine.dispose()
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        raise UserError(f"--database {shown} cannot be opened: {reason}") from None
    return engine


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Run the migrations up to ``revision``, in one transaction where the database supports that."""
    config = AlembicConfig()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["engine"] = engine
    command.upgrade(config, revision)


def _url(address: str) -> URL:
    try:
        url = make_url(address)
    except ArgumentError:
        raise UserError("--database is not a URL; write sqlite:///FILE or postgresql://USER@HOST/NAME") from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            raise UserError("--database: a history in memory would be lost at the end; name a file, sqlite:///FILE")
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make the folder of {url.database}: {error.strerror}") from None
    return url


def folded(text: str | None) -> str | None:
    """Write text without case and accents, in any script, so that a search finds it however it is spelt."""
    if text is None:
        return None
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def _prepare_sqlite(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    """Set journal and sync modes.

    WAL lets other connections read while a row is written. With NORMAL a commit survives a killed process; ``Flusher``
    syncs soon after, so that it survives a power cut. FULL would sync before each answer, 4 ms on a common disk.
    """
    connection.create_function("folded", 1, folded, deterministic=True)
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
