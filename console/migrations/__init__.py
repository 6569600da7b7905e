"""Migrations of the history's schema (Alembic)."""
