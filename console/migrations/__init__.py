"""How the schema of the history came to be, step by step (Alembic)."""
