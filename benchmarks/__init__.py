"""Measurements of speed, memory and accuracy: one file a question."""
