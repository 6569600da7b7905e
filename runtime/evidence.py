"""PatchCore on exported features: what inspection/evidence.py does with torch, by ONNX graphs and NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastener.common.errors import UserError
from fastener.config import ModelSettings
from fastener.inspection.evidence_base import images_of
from fastener.models.anomaly_map import PositionStats, along_lines, to_pixels
from fastener.models.image_scores import TopScore
from fastener.models.runtime.graphs import Graph
from fastener.models.scores import Scores
from fastener.preprocessing.pipeline import Prepared
from fastener.runtime.bank import Bank


class Features:
    """Compute patch features by the ONNX graphs of one kind of evidence.

    Parameters
    ----------
    state : mapping
        What the model file holds of the kind: "features" and, for kinds with a network, "graph".
    """

    def __init__(self, state: Mapping[str, Any]):
        self._features = Graph(state["features"].tobytes())
        self._network = Graph(state["graph"].tobytes()) if "graph" in state else None
        if len(self._features.inputs) > 1 and self._network is None:
            raise UserError("the model holds no ONNX graph of its network; export it again with export.py")

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Compute the features of uint8 RGB images (n, H, W, 3): float32 (n, h, w, d)."""
        batch = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32) / np.float32(255)
        layers = [] if self._network is None else self._network(batch)
        return self._features(batch, *layers)[0]


class BankEvidence:
    """Score prepared images by the distance of their patches to a bank, as ``PatchCore`` does.

    Parameters
    ----------
    state : mapping
        What the model file holds of this kind of evidence.
    model : ModelSettings
        How distances become scores.
    """

    def __init__(self, state: Mapping[str, Any], model: ModelSettings):
        self._features = Features(state)
        self._bank = Bank(state["bank"], state["index"])
        self._usual = PositionStats.from_state(state["usual"]) if state.get("usual") else None
        self._model = model
        self._top = None if model.top_share is None else TopScore(model.top_share, model.top_of, model.cosine)

    def score(self, batch: Sequence[Prepared]) -> Scores:
        """Score prepared images."""
        images, model = images_of(batch), self._model
        features = np.concatenate([self._features(one[None]) for one in images])
        size, sigma = (images.shape[1], images.shape[2]), model.smoothing_sigma
        n, h, w, channels = features.shape
        patches = features.reshape(n, h * w, channels)
        if model.per_position or model.line_length:
            grids = self._bank.search(features.reshape(-1, channels), exact=True)[0].reshape(n, h, w)
            if self._usual is not None:
                grids = self._usual.standardise(grids)
            if model.line_length:
                grids = along_lines(grids, model.line_length * h / size[0])
            return Scores(grids.max((1, 2)), to_pixels(grids, size, sigma))
        distances, rows = self._bank.search_images(patches)
        grids = distances.reshape(n, h, w)
        if self._top is not None:
            return self._top(grids, size, sigma)
        return Scores(self._weighted(patches, distances, rows), to_pixels(grids, size, sigma))

    def _weighted(self, patches: np.ndarray, distances: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Score images by equations 6 and 7 of PatchCore, see ``weighted_scores``."""
        number = min(self._model.num_neighbors, len(self._bank))
        scores: np.ndarray = distances.max(1)
        for i in range(len(scores) if number > 1 else 0):
            patch = int(distances[i].argmax())
            support = self._bank.search(self._bank.row(rows[i, patch])[None], number, exact=True)[1][0, 1:]
            others = np.linalg.norm([patches[i, patch] - self._bank.row(row) for row in support], axis=1)
            scores[i] *= 1 - 1 / (1 + np.exp(others - scores[i]).sum())
        return scores
