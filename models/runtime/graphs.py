"""Open an ONNX graph and compute it by ONNX Runtime, on arrays and without torch."""

from __future__ import annotations

import os
from importlib.util import find_spec

import numpy as np

from fastener.common.errors import UserError
from fastener.common.installation import install_extra

INSTALL = install_extra("onnx")


class Graph:
    """An ONNX graph that is ready to compute on the CPU.

    Parameters
    ----------
    content : bytes
        The ONNX file.
    threads : int, optional
        Threads that compute one graph; None: as many as this process may use cores.

    Attributes
    ----------
    inputs : tuple of str
        Names of the arrays that the graph takes.
    facts : dict of str to str
        What the graph says of itself.

    Raises
    ------
    UserError
        If ONNX Runtime is not installed or cannot read the graph.
    """

    def __init__(self, content: bytes, threads: int | None = None):
        require("onnxruntime")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
        # Threads that spin while they wait would starve torch's and FAISS's on a small machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_mem_pattern = False  # a third less memory, at no cost of time
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has a family of exceptions of its own
            raise UserError(f"the model's ONNX graph cannot be read: {str(error).splitlines()[0][:160]}") from None
        self.inputs = tuple(one.name for one in self._session.get_inputs())
        self.facts: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Compute the outputs from float32 arrays, in the order of ``inputs``."""
        given = {name: np.ascontiguousarray(one) for name, one in zip(self.inputs, arrays, strict=True)}
        return [np.asarray(one) for one in self._session.run(None, given)]


def require(*packages: str) -> None:
    """Raise UserError, with the command to type, if one of the ``packages`` is not installed."""
    for name in packages:
        if find_spec(name) is None:
            raise UserError(f"--runtime onnx needs the package {name}, which is not installed: {INSTALL}")
