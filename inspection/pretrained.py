"""The extractor of a pretrained network, and the weights or the ONNX graph that a saved model insists on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fastener.common.errors import UserError
from fastener.config import RunSettings
from fastener.inspection.evidence_base import Setup
from fastener.models.backbones import BACKBONES
from fastener.models.feature_extractor import FeatureExtractor
from fastener.models.runtime.cnn import cnn_extractor
from fastener.models.runtime.device import resolve_arithmetic
from fastener.models.runtime.onnx_network import OnnxNetwork, quantised, to_onnx
from fastener.models.runtime.weights import find_weights, how_to_get


@dataclass(frozen=True)
class Weights:
    """Say where weights come from, a file or the model's own graph (None), and the checksum of the tensors in use."""

    file: Path | None
    checksum: str

    def require(self, expected: str) -> None:
        """Raise UserError unless the tensors have the ``expected`` checksum."""
        if self.checksum != expected:
            raise UserError(
                f"{self.file or 'the ONNX graph'} is not the file this model was trained with "
                f"(checksum {self.checksum[:12]}, expected {expected[:12]}); pass the right one with --weights"
            )


def pretrained_extractor(
    setup: Setup,
    layers: tuple[str, ...] | None,
    *,
    patch_size: int,
    target_dim: int | None,
    colour_weight: float,
) -> tuple[FeatureExtractor, Weights]:
    """Build the extractor of ``setup.backbone``, from ``setup.graph`` if there is one, else from its weights.

    For int8 the extractor computes in float32 until ``quantise`` is called. Raises UserError if the weights cannot be
    had or do not fit, or ONNX Runtime is needed and missing.
    """
    backbone, run = BACKBONES[setup.backbone], setup.config.run
    arithmetic = resolve_arithmetic(run.precision, run.runtime, setup.device, backbone.half)
    if setup.graph is not None and arithmetic.runtime == "onnx":
        network = OnnxNetwork(setup.graph)
        extractor = FeatureExtractor(
            network, patch_size, border=backbone.border, colour_weight=colour_weight, device=setup.device
        )
        return extractor, Weights(None, network.weights_checksum)
    file = find_weights(backbone, setup.weights)
    if file is None:
        raise UserError(f"no weights for {backbone.name} on this machine: {how_to_get(backbone)}")
    extractor, checksum = cnn_extractor(
        backbone,
        file,
        layers,
        patch_size=patch_size,
        target_dim=target_dim,
        colour_weight=colour_weight,
        seed=run.seed,
        device=setup.device,
        dtype=arithmetic.dtype,
    )
    if arithmetic.runtime == "onnx":
        extractor.network = OnnxNetwork(to_onnx(extractor.network, checksum))
    extractor.recall = setup.recall(f"{checksum} {layers or backbone.layers} {arithmetic}")
    return extractor, Weights(file, checksum)


def quantise(extractor: FeatureExtractor, images: np.ndarray) -> None:
    """Let an extractor that runs on ONNX compute in int8, scaled to its ranges on uint8 RGB images (n, H, W, 3)."""
    network = extractor.network
    assert isinstance(network, OnnxNetwork)
    scaled = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    extractor.network = OnnxNetwork(quantised(network.graph.cpu(), scaled))


def graph_of(extractor: FeatureExtractor) -> dict[str, torch.Tensor]:
    """Return what a saved model holds of its network: the ONNX graph, or nothing where torch uses public weights."""
    return {"graph": extractor.network.graph.cpu()} if isinstance(extractor.network, OnnxNetwork) else {}


def decided(run: RunSettings, device: torch.device, backbone: str) -> RunSettings:
    """Replace the precision "auto" by its meaning on ``device``, which a saved model keeps on other machines."""
    arithmetic = resolve_arithmetic(run.precision, run.runtime, device, BACKBONES[backbone].half)
    return run.model_copy(update={"precision": arithmetic.precision})


def for_saved(asked: RunSettings, saved: RunSettings, device: torch.device) -> RunSettings:
    """Decide how a saved model is computed here: by ``asked`` where it names something, else as it was learned.

    A bank and its queries share one precision, and the threshold holds for that precision. fp32 and fp16 differ so
    little that they stand for each other; a model in bf16 or int8 keeps its precision. Raises UserError if ``asked``
    names another one.
    """
    precision = asked.precision if asked.precision != "auto" else saved.precision
    runtime = asked.runtime if asked.runtime != "auto" else saved.runtime
    if asked.precision == "auto" and precision == "fp16" and (device.type == "cpu" or runtime == "onnx"):
        precision = "fp32"
    if learned_in(saved.model_copy(update={"precision": precision})) != learned_in(saved):
        raise UserError(
            f"--precision {precision}: the bank and the threshold of this model are in {learned_in(saved)}; make a "
            f"model in {precision} with {'export.py' if precision == 'int8' else 'train.py'} --precision {precision}"
        )
    return saved.model_copy(update={"precision": precision, "runtime": runtime})


def learned_in(run: RunSettings) -> str:
    """Return the precision in which the bank was built; fp16 counts as fp32."""
    return run.precision if run.precision in ("bf16", "int8") else "fp32"
