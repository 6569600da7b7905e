"""Let accounts be switched off, so that nobody else can take a name that the history holds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the column; every account that exists may sign in."""
    with op.batch_alter_table("accounts") as table:
        table.add_column(sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true()))


def downgrade() -> None:
    """Drop the column, and the accounts that were switched off with it: they must not sign in."""
    op.execute("DELETE FROM accounts WHERE NOT active")
    with op.batch_alter_table("accounts") as table:
        table.drop_column("active")
