"""Features of a pretrained network, and the file of weights that a saved model insists on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from errors import UserError
from inspection.evidence_base import Setup
from models.backbones import BACKBONES
from models.device import resolve_dtype
from models.feature_extractor import FeatureExtractor, cnn_extractor
from models.weights import find_weights, how_to_get


@dataclass(frozen=True)
class Weights:
    """A file of weights and the checksum of the tensors that are used from it."""

    file: Path
    checksum: str

    def require(self, expected: str) -> None:
        """Raises UserError unless the tensors are those with the ``expected`` checksum."""
        if self.checksum != expected:
            raise UserError(
                f"{self.file} is not the file this model was trained with (checksum {self.checksum[:12]}, "
                f"expected {expected[:12]}); pass the right one with --weights"
            )


def pretrained_extractor(
    setup: Setup, layers: tuple[str, ...] | None, patch_size: int, target_dim: int | None, colour_weight: float
) -> tuple[FeatureExtractor, Weights]:
    """The extractor of ``setup.backbone``. Raises UserError if its weights cannot be had or do not fit."""
    backbone, run = BACKBONES[setup.backbone], setup.config.run
    file = find_weights(backbone, setup.weights)
    if file is None:
        raise UserError(f"no weights for {backbone.name} on this machine: {how_to_get(backbone)}")
    dtype = resolve_dtype(run.precision, setup.device)
    extractor, checksum = cnn_extractor(
        backbone, file, layers, patch_size, target_dim, colour_weight, run.seed, setup.device, dtype
    )
    return extractor, Weights(file, checksum)
