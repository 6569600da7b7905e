"""Create the table of inspections."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the table and its indices."""
    op.create_table(
        "inspections",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("category", sa.String(255), nullable=False),
        sa.Column("model_checksum", sa.String(64), nullable=False),
        sa.Column("file_name", sa.String(255), nullable=False),
        sa.Column("image_checksum", sa.String(64), nullable=False),
        sa.Column("heatmap_checksum", sa.String(64)),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("score", sa.Float(53), nullable=False),
        sa.Column("threshold", sa.Float(53), nullable=False),
        sa.Column("p_value", sa.Float(53), nullable=False),
        sa.Column("confidence", sa.Float(53), nullable=False),
        sa.Column("decision", sa.String(4), nullable=False),
        sa.Column("part_found", sa.Boolean, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("regions", sa.JSON, nullable=False),
        sa.Column("seconds", sa.Float(53), nullable=False),
    )
    for column in ("created_at", "category", "image_checksum", "decision"):
        op.create_index(f"ix_inspections_{column}", "inspections", [column])


def downgrade() -> None:
    """Drop the table of inspections."""
    op.drop_table("inspections")
