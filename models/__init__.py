"""Patch features, memory bank, scores and calibration: knows arrays, touches no disk except to store a model."""
