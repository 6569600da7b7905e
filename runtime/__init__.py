"""Inspect without PyTorch: NumPy, OpenCV, FAISS and ONNX Runtime compute what ``export.py`` wrote.

For edge machines and quick starts. Preprocessing, decision, maps and pictures are those of the rest of the toolkit;
only the features come from ONNX graphs, and the bank is searched in NumPy.

Examples
--------
>>> from fastener.runtime import load
>>> inspector = load("saved_models/mine-fp32")    # doctest: +SKIP
>>> inspector.inspect("photos/incoming")          # doctest: +SKIP
"""

from fastener.runtime.loading import load as load
