"""Metrics and plots on raw scores and anomaly maps."""
