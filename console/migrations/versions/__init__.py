"""Migrations, one file for each; a released file is never changed."""
