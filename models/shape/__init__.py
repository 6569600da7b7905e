"""Outlines of parts as arrays: their contour, axis, symmetry and threads, and how near they are to healthy ones."""
