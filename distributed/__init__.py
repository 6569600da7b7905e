"""Many machines: the same inspection and training, spread over a Ray cluster."""
