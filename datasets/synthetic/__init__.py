"""Render fasteners and CT slices with exactly known defects, and draw defects on healthy photos."""
