"""Give photos without a part a decision of their own, and record how much of each photo was inspected."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make room for longer decisions, and add the columns; of older rows nobody knows the inspected share."""
    with op.batch_alter_table("inspections") as table:
        table.alter_column("decision", existing_type=sa.String(4), type_=sa.String(8), existing_nullable=False)
        table.alter_column("confidence", existing_type=sa.Float(53), nullable=True)
        table.add_column(sa.Column("problem", sa.Text, nullable=False, server_default=""))
        table.add_column(sa.Column("inspected_share", sa.Float(53)))
    with op.batch_alter_table("reviews") as table:
        table.alter_column("verdict", existing_type=sa.String(4), type_=sa.String(8), existing_nullable=False)


def downgrade() -> None:
    """Drop the columns; a photo without a part becomes a FAIL, and one to look at a PASS, of no confidence."""
    for table_name, column in (("inspections", "decision"), ("reviews", "verdict")):
        for new, old in (("NO_PART", "FAIL"), ("LOOK", "PASS")):
            op.execute(f"UPDATE {table_name} SET {column} = '{old}' WHERE {column} = '{new}'")
    op.execute("UPDATE inspections SET confidence = 0.5 WHERE confidence IS NULL")
    with op.batch_alter_table("reviews") as table:
        table.alter_column("verdict", existing_type=sa.String(8), type_=sa.String(4), existing_nullable=False)
    with op.batch_alter_table("inspections") as table:
        table.drop_column("inspected_share")
        table.drop_column("problem")
        table.alter_column("confidence", existing_type=sa.Float(53), nullable=False)
        table.alter_column("decision", existing_type=sa.String(8), type_=sa.String(4), existing_nullable=False)
