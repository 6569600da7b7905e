"""Run the migrations. Alembic executes this file; console/database.py passes the engine in."""

from __future__ import annotations

from alembic import context

from fastener.console.tables import Base

with context.config.attributes["engine"].begin() as connection:
    # SQLite cannot change a table in place, so Alembic makes a new table and copies the rows.
    context.configure(connection, target_metadata=Base.metadata, render_as_batch=True)
    context.run_migrations()
