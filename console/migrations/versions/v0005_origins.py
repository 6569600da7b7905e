"""Record where a part comes from and who inspected it; create the accounts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_ORIGIN = ("lot", "order", "serial", "shift", "operator")


def upgrade() -> None:
    """Add the columns, empty for what is stored already, and create the table of accounts."""
    with op.batch_alter_table("inspections") as table:
        for name in _ORIGIN:
            table.add_column(sa.Column(name, sa.String(80), nullable=False, server_default=""))
    with op.batch_alter_table("sessions") as table:
        table.add_column(sa.Column("name", sa.String(80), nullable=False, server_default=""))
    op.create_table(
        "accounts",
        sa.Column("name", sa.String(80), primary_key=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    """Drop the columns and the accounts; everybody has to sign in again."""
    op.drop_table("accounts")
    op.execute("DELETE FROM sessions")
    with op.batch_alter_table("sessions") as table:
        table.drop_column("name")
    with op.batch_alter_table("inspections") as table:
        for name in _ORIGIN:
            table.drop_column(name)
