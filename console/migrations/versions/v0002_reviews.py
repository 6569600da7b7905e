"""Create the tables of reviews and of changes of thresholds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create both tables, and give each inspection a reference to its latest review."""
    op.create_table(
        "reviews",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("inspection_id", sa.String(32), sa.ForeignKey("inspections.id"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("verdict", sa.String(4), nullable=False),
        sa.Column("reviewer", sa.String(80), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.create_index("ix_reviews_inspection_id", "reviews", ["inspection_id"])
    op.create_table(
        "threshold_changes",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("category", sa.String(255), nullable=False),
        sa.Column("model_checksum", sa.String(64), nullable=False),
        sa.Column("old", sa.Float(53), nullable=False),
        sa.Column("new", sa.Float(53), nullable=False),
        sa.Column("changed_by", sa.String(80), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("ix_threshold_changes_category", "threshold_changes", ["category"])
    with op.batch_alter_table("inspections") as table:
        table.add_column(sa.Column("review_id", sa.Integer))
        table.create_foreign_key("fk_inspections_review_id", "reviews", ["review_id"], ["id"])


def downgrade() -> None:
    """Drop both tables and the reference."""
    with op.batch_alter_table("inspections") as table:
        table.drop_constraint("fk_inspections_review_id", type_="foreignkey")
        table.drop_column("review_id")
    op.drop_table("threshold_changes")
    op.drop_table("reviews")
