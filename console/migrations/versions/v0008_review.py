"""Call a part that passed and should be looked at REVIEW instead of LOOK."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Rename the decision in what is stored."""
    op.execute("UPDATE inspections SET decision = 'REVIEW' WHERE decision = 'LOOK'")


def downgrade() -> None:
    """Take the earlier name."""
    op.execute("UPDATE inspections SET decision = 'LOOK' WHERE decision = 'REVIEW'")
