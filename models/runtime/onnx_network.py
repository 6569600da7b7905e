"""A feature network as an ONNX graph: made from torch, brought down to 8 bits, computed by ONNX Runtime.

The graph maps RGB float32 (n, 3, H, W) in [0, 1] to the maps of the network's layers, at any n, H and W; it holds the
network's own normalisation and no other preprocessing. The packages are optional: requirements/onnx.txt.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fastener.models.runtime.graphs import Graph, require

_OPSET = 18
_WEIGHTS = "weights_checksum"


class OnnxNetwork(nn.Module):
    """An ONNX graph that is called like the torch network it was made from. It computes on the CPU.

    ``graph``: the bytes of the ONNX file, uint8 (n,); ``weights_checksum``: of the weights it was made from.
    Raises UserError if ONNX Runtime is not installed or cannot read the graph.
    """

    graph: torch.Tensor

    def __init__(self, graph: torch.Tensor):
        super().__init__()
        # Not a parameter that learns, but memory that the network takes.
        self.graph = nn.Parameter(graph, requires_grad=False)
        self._opened = Graph(graph.numpy().tobytes(), torch.get_num_threads())
        self.weights_checksum: str = self._opened.facts.get(_WEIGHTS, "")

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """RGB float32 (n, 3, H, W) in [0, 1] -> the maps of the layers, float32 (n, c, h, w), where the images are."""
        layers = self._opened(images.float().cpu().numpy())
        return [torch.from_numpy(layer).to(images.device) for layer in layers]


def to_onnx(network: nn.Module, weights_checksum: str) -> torch.Tensor:
    """The ONNX graph of a torch network in float32, uint8 (n,). Raises UserError if a package is missing."""
    shapes = {0: "n", 2: "height", 3: "width"}
    example = torch.zeros(2, 3, 64, 96)
    return exported(
        network.float().cpu(), (example,), names=["images"], shapes=(shapes,), facts={_WEIGHTS: weights_checksum}
    )


def exported(
    module: nn.Module,
    examples: tuple[Any, ...],
    *,
    names: Sequence[str],
    shapes: Any,
    facts: Mapping[str, str] | None = None,
) -> torch.Tensor:
    """The ONNX graph of a torch module, uint8 (n,), traced on ``examples``.

    ``names`` are those of its inputs; ``shapes`` the dimensions of each that may change, by name; ``facts`` is kept
    with the graph. Raises UserError if a package is missing.
    """
    require("onnx", "onnxscript")
    with _quiet():
        program = torch.onnx.export(
            module,
            examples,
            dynamo=True,
            input_names=names,
            dynamic_shapes=shapes,
            opset_version=_OPSET,
            custom_translation_table={torch.ops.aten.hypot.default: _hypot},
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for key, value in (facts or {}).items():
        model.metadata_props.add(key=key, value=value)
    return _as_tensor(model.SerializeToString())


def _hypot(real: Any, imaginary: Any) -> Any:
    """Spell out what ONNX lacks; the moduli of filters are far from where squares overflow or vanish."""
    from onnxscript import opset18

    return opset18.Sqrt(opset18.Add(opset18.Mul(real, real), opset18.Mul(imaginary, imaginary)))


def quantised(graph: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """The same graph in int8, as uint8 (n,): weights by channel, activations by the range they have on ``images``.

    ``images``: RGB float32 (n, 3, H, W) in [0, 1]. Static quantisation with QDQ nodes; what goes in and what comes out
    stays float32. Weights use seven of their eight bits, since sums of eight would saturate on an x86 CPU without VNNI
    instructions. Raises UserError if a package is missing.
    """
    require("onnx", "onnxruntime")
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, _quiet():
        given, prepared, result = (Path(folder) / f"{name}.onnx" for name in ("given", "prepared", "int8"))
        # As a file: of a model in memory, the shapes that a graph computes with would be stored outside of it.
        given.write_bytes(graph.numpy().tobytes())
        quant_pre_process(given, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            result,
            _Reader(images),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
        )
        return _as_tensor(result.read_bytes())


class _Reader:
    """Hands images to the calibration one at a time."""

    def __init__(self, images: torch.Tensor):
        self._images = iter(images.split(1))

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._images, None)
        return None if image is None else {"images": image.numpy()}


def _as_tensor(content: bytes) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(content, np.uint8).copy())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter and the quantiser report their progress to a person who tunes them."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
