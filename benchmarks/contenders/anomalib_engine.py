"""Run anomalib's PatchCore as its users do: ``Engine.fit`` and ``Engine.predict``, with the default frame of 256 px.

Only the network differs from the default: ResNet-18 with the weights in a file, as no hub is asked.
"""

from __future__ import annotations

import os
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.simplefilter("ignore")

import torch
from anomalib.data import Folder, PredictDataset
from anomalib.engine import Engine
from anomalib.models import AnomalibModule, MHPatchcore, Patchcore
from anomalib.post_processing import PostProcessor
from protocol import answer

_CHECKPOINT = "model.ckpt"


def learn(kind: str, images: str, folder: str, weights: str, keep: float) -> dict[str, Any]:
    """Train on a folder of healthy photos, and write a checkpoint below ``folder``."""
    # Its threshold is the one of the best F1, for which photos of defects are made where there are none.
    data = Folder(
        name="parts", normal_dir=images, test_split_mode="none", val_split_mode="synthetic", num_workers=2, seed=0
    )
    engine = _engine(folder)
    engine.fit(_model(kind, weights, keep), datamodule=data)
    engine.trainer.save_checkpoint(Path(folder) / _CHECKPOINT)
    return {}


def judge(kind: str, images: str, folder: str, weights: str, keep: float) -> dict[str, Any]:
    """Score a folder of photos by the checkpoint below ``folder``."""
    results = _engine(folder).predict(
        _model(kind, weights, keep), dataset=PredictDataset(images), ckpt_path=Path(folder) / _CHECKPOINT
    )
    found = {
        Path(path).name: (float(score), bool(flagged))
        for batch in results or []
        for path, score, flagged in zip(batch.image_path, batch.pred_score, batch.pred_label, strict=True)
    }
    return {"found": found}


def _engine(folder: str) -> Engine:
    return Engine(default_root_dir=folder, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False)


def _model(kind: str, weights: str, keep: float) -> AnomalibModule:
    """Build PatchCore with ``keep`` of the patches, or MH-PatchCore with its own bank of 1,000, on the same network."""
    # Its normalized scores end at 1, so that high ones could not be ranked.
    raw = PostProcessor(enable_normalization=False)
    common: dict[str, Any] = {"pre_trained": False, "visualizer": False, "post_processor": raw}
    if kind == "MHPatchcore":
        model: AnomalibModule = MHPatchcore("resnet18", **common)
    else:
        model = Patchcore("resnet18", coreset_sampling_ratio=keep, **common)
    network = model.model.feature_extractor.feature_extractor
    missing, _ = network.load_state_dict(torch.load(weights, weights_only=True), strict=False)
    assert not missing, missing
    return model


if __name__ == "__main__":
    answer({"learn": learn, "judge": judge}, f"anomalib {version('anomalib')}, torch {torch.__version__}")
