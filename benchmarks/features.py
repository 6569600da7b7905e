"""Make patch features for benchmarks: from an MVTec category, or drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from fastener.common.errors import UserError
from fastener.config import load_config
from fastener.datasets.images import read_image
from fastener.datasets.mvtec import load_category
from fastener.models.backbones import BACKBONES
from fastener.models.runtime.cnn import cnn_extractor
from fastener.models.runtime.weights import find_weights, how_to_get
from fastener.preprocessing.pipeline import Preprocessor

MVTEC = Path(__file__).resolve().parents[1] / "configs" / "mvtec_paper.yaml"
_BATCH = 8


def clustered_features(n: int, dim: int, seed: int) -> np.ndarray:
    """Draw vectors (n, dim) around 50 centres. As in patch features, the rank is lower than the dimension."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(dim // 4 + 1, dim)).astype(np.float32)
    centres = rng.normal(size=(50, len(directions))).astype(np.float32)
    inner = centres[rng.integers(50, size=n)] + 0.5 * rng.normal(size=(n, len(directions))).astype(np.float32)
    return inner @ directions


def category_features(folder: Path, weights: Path | None, n: int, dim: int | None = None) -> np.ndarray:
    """Compute ``n`` patch features of ResNet-18, float16 (n, 384 or ``dim``), of an MVTec category's training photos.

    The photos are evenly spread over the category, and the patches are in their order. A category with fewer patches
    gives all of them.
    """
    extract = cnn_extractor(BACKBONES["resnet18"], resnet18_weights(weights), target_dim=dim)[0]
    prepare = Preprocessor(load_config(MVTEC).preprocess)
    paths = training_photos(folder)
    each = np.prod(extract(prepare(read_image(paths[0])).image[None]).shape[1:3])
    parts = []
    chosen = spread(paths, min(len(paths), -(-n // int(each))))
    for at in range(0, len(chosen), _BATCH):
        images = np.stack([prepare(read_image(path)).image for path in chosen[at : at + _BATCH]])
        parts.append(extract(images).flatten(0, 2).half())
    return torch.cat(parts)[:n].numpy()


def training_photos(folder: Path) -> list[Path]:
    """List the healthy training photos of an MVTec category."""
    return list(load_category(folder.parent, folder.name).train)


def spread(items: Sequence[Path], count: int) -> list[Path]:
    """Choose ``count`` items, evenly spread."""
    return [items[int(i)] for i in np.linspace(0, len(items) - 1, count)]


def resnet18_weights(file: Path | None) -> Path:
    """Find the weights of ResNet-18. Raises UserError if they are not on this machine."""
    found = find_weights(BACKBONES["resnet18"], file)
    if found is None:
        raise UserError(f"no weights for resnet18 on this machine: {how_to_get(BACKBONES['resnet18'])}")
    return found
