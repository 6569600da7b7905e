"""Compute metrics and draw plots from raw scores and anomaly maps."""
