"""Recognise known kinds of defects by name, and notice unknown kinds (open-set recognition)."""
