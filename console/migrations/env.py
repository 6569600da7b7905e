"""What Alembic runs; the engine is handed over by console/database.py."""

from __future__ import annotations

from alembic import context

from fastener.console.tables import Base

with context.config.attributes["engine"].begin() as connection:
    # SQLite cannot change a table in place: Alembic makes a new one and copies.
    context.configure(connection, target_metadata=Base.metadata, render_as_batch=True)
    context.run_migrations()
