"""What touches the disk and the machine: weights, downloads, devices, model files and ONNX."""
