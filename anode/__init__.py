"""Inspect CT slices of batteries: regions of interest, two detectors, hits over consecutive slices, result files."""
