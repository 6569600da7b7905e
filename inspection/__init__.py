"""One calibrated Inspection per image: the only place that joins datasets, preprocessing and models."""
