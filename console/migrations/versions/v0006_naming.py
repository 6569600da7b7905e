"""Record the kind of defect that a model names; a model that flags every photo gives no p-value."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column, empty for what is stored already."""
    with op.batch_alter_table("inspections") as table:
        table.add_column(sa.Column("naming", sa.JSON))
        table.alter_column("p_value", existing_type=sa.Float(53), nullable=True)


def downgrade() -> None:
    """Drop the column; a p-value that is not known becomes 0, as every photo was flagged."""
    op.execute("UPDATE inspections SET p_value = 0 WHERE p_value IS NULL")
    with op.batch_alter_table("inspections") as table:
        table.alter_column("p_value", existing_type=sa.Float(53), nullable=False)
        table.drop_column("naming")
