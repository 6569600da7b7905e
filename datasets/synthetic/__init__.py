"""Rendered parts, surfaces and CT slices whose defects are known exactly."""
