"""Patch features, memory bank, scores and calibration: arrays in, arrays out. models/runtime knows files, devices."""
