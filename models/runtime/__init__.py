"""Everything of the models that touches disk and machine: weights, downloads, devices, stored features and ONNX."""
