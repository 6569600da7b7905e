"""Run models of anomalib (https://github.com/open-edge-platform/anomalib, Apache-2.0) on the photos of a cell.

A model is trained by anomalib's own engine with its own settings, and sees photos as it prepares them itself. anomalib
takes its threshold from labelled photos; none is given to it here: it says scores and maps only, and figures that
rest on a verdict are left out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from fastener.common.errors import UserError
from fastener.datasets.dataset import Category
from fastener.datasets.images import read_image
from fastener.evaluation.measure import Measurement
from fastener.inspection.registry import ANOMALIB
from fastener.inspection.result import EvidenceResult, Failure, Inspection
from fastener.preprocessing.registration import frame_transform

_BATCH = 32  # anomalib's own
_EPOCHS = 50  # for models that do not set their own number
_OF_VERDICTS = {"threshold", "confusion", "accuracy", "balanced_accuracy", "precision", "recall", "recall_ci95", "f1"}
_OF_VERDICTS |= {"false_positive_rate", "false_positive_rate_ci95", "n_defects_found", "n_false_alarms", "n_found"}


class AnomalibModel:
    """Hold a trained model of anomalib.

    Parameters
    ----------
    method : str
        "anomalib:" and the name of a model as anomalib spells it, such as "padim" or "reverse_distillation".
    """

    def __init__(self, method: str):
        self.method = method
        models, name = _module("anomalib.models"), method.removeprefix(ANOMALIB)
        if _plain(name) not in map(_plain, models.list_models()):
            raise UserError(f"{method}: anomalib has no such model; it has {', '.join(sorted(models.list_models()))}")
        with self._named():
            # Without labelled photos there is nothing by which it could scale or judge its scores.
            self.model = models.get_model(name, post_processor=False, evaluator=False, visualizer=False)

    def fit(self, photos: Sequence[Path], *, seed: int) -> AnomalibModel:
        """Train on healthy photos; returns the model itself. Raises UserError for a photo that cannot be read."""
        data = _module("anomalib.data")
        torch.manual_seed(seed)
        items = _Items(photos, data.ImageItem)
        loader = DataLoader(items, _BATCH, shuffle=True, collate_fn=data.ImageBatch.collate)
        with tempfile.TemporaryDirectory() as folder, self._named():
            engine = _module("anomalib.engine").Engine(
                default_root_dir=folder,
                max_epochs=_EPOCHS,
                logger=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            engine.fit(self.model, train_dataloaders=loader)
        return self

    def measure(self, category: Category) -> Measurement:
        """Score all test images of a category."""
        self.model.eval()
        images, inspections, failures = [], [], []
        for image in category.test:
            try:
                inspections.append(self._inspect(image.path))
                images.append(image)
            except UserError as error:
                failures.append(Failure(image.path, str(error)))
        groups = np.arange(len(images))
        return Measurement(tuple(images), tuple(inspections), groups, failures=tuple(failures))

    def facts(self) -> dict[str, Any]:
        """Say in metrics.json by what was measured."""
        name = f"anomalib {getattr(_module('anomalib'), '__version__', '')}".strip()
        return {"evidence_kinds": [self.method], "backbone": name, "threshold_source": None}

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Turn whatever anomalib raises, as for weights that it cannot fetch, into one line; other cells go on."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise UserError(f"{self.method}: anomalib could not train it ({reason})") from error

    def _inspect(self, path: Path) -> Inspection:
        photo = _tensor(path)
        with torch.inference_mode():
            found = self.model(photo[None].to(next((one.device for one in self.model.parameters()), "cpu")))
        size = (photo.shape[1], photo.shape[2])
        heat = np.full(size, np.nan, np.float32)
        if found.anomaly_map is not None:
            heat = found.anomaly_map.float().cpu().numpy().reshape(found.anomaly_map.shape[-2:])
        score = float(np.nanmax(heat)) if found.pred_score is None else float(found.pred_score)
        return Inspection(
            path=path,
            score=score,
            threshold=float("nan"),
            p_value=float("nan"),
            confidence=0.5,
            evidence={self.method: EvidenceResult(score, float("nan"))},
            map=heat,
            mask=np.ones(heat.shape, bool),
            transform=frame_transform(size, heat.shape),
            photo_size=size,
            part_found=True,
            look=True,
        )


def without_verdicts(metrics: dict[str, Any]) -> dict[str, Any]:
    """Set figures that rest on a threshold to None, also those of each type of defect."""
    defects = {name: one | dict.fromkeys(_OF_VERDICTS & set(one)) for name, one in metrics["per_defect"].items()}
    return metrics | dict.fromkeys(_OF_VERDICTS & set(metrics)) | {"per_defect": defects}


class _Items(torch.utils.data.Dataset[Any]):
    """Photos as items of anomalib's own class."""

    def __init__(self, photos: Sequence[Path], item: Any):
        self.photos, self.item = list(photos), item

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Any:
        return self.item(image=_tensor(self.photos[index]), image_path=str(self.photos[index]), gt_label=0)


def _tensor(path: Path) -> torch.Tensor:
    """Read a photo as float32 (3, H, W), 0 to 1."""
    return torch.from_numpy(np.ascontiguousarray(read_image(path).transpose(2, 0, 1))).float() / 255


def _module(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise UserError(f"{ANOMALIB}<model> needs anomalib ({error}): pip install anomalib") from None


def _plain(name: str) -> str:
    """Spell a model's name without capitals and underscores, which anomalib does not mind."""
    return name.replace("_", "").lower()
