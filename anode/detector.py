"""Supervised detectors behind one protocol; RF-DETR by the ``rfdetr`` package, which is an optional dependency.

RF-DETR: Robinson et al., "RF-DETR: Neural Architecture Search for Real-Time Detection Transformers", arXiv 2511.09554.
Its backbone is a windowed DINOv2.
"""

from __future__ import annotations

import argparse
import csv
import logging
import os
import types
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from fastener.anode.hits import Box, Predictor
from fastener.anode.settings import AnodeSettings
from fastener.common.errors import UserError
from fastener.common.installation import install_extra
from fastener.models.runtime.device import resolve_device

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rfdetr.detr import RFDETR

INSTALL = install_extra("detection")
# Sizes under Apache-2.0; the larger ones have another licence.
_CLASSES = {"nano": "RFDETRNano", "small": "RFDETRSmall", "medium": "RFDETRMedium", "large": "RFDETRLarge"}
# What rfdetr names the file of its best epoch.
_BEST = "checkpoint_best_total.pth"


class Detector(Predictor, Protocol):
    """What can take RF-DETR's place: it learns from a COCO data set and finds boxes with class names and scores."""

    def fit(self, dataset: Path) -> list[float]:
        """Learn from ``dataset``: train/, valid/ and test/, each with _annotations.coco.json. Returns the training loss
        of each epoch."""


class RfDetr:
    """RF-DETR; make it with ``untrained`` or ``trained``."""

    def __init__(self, model: RFDETR, settings: AnodeSettings, show_progress: bool = False):
        self.model = model
        self.settings = settings
        self.show_progress = show_progress

    @classmethod
    def untrained(
        cls, settings: AnodeSettings, say: Callable[[str], None] = lambda line: None, show_progress: bool = False
    ) -> RfDetr:
        """A new network, with the weights of ``rf_detr.start_from`` or random ones; ``say`` is told what that means.

        Raises UserError if rfdetr is not installed, or the checkpoint cannot be read or is of another size.
        """
        _require_package(training=True)
        with _offline():
            import rfdetr

        chosen = settings.rf_detr
        if chosen.start_from is None:
            say(
                "RF-DETR starts from random weights: it learns simple shapes so, but real cracks want hundreds of "
                "labelled slices. Better: python download_models.py --rf-detr "
                f"{chosen.size}, then set rf_detr.start_from to that file"
            )
        else:
            # rfdetr itself takes what fits from a checkpoint of another size, and draws the rest at random.
            size = check_checkpoint(chosen.start_from, "rf_detr.start_from")
            if size not in ("", chosen.size):
                raise UserError(
                    f"rf_detr.start_from: {chosen.start_from} is of size {size}, rf_detr.size {chosen.size}"
                )
        # Given here, and not to train(), so that they are the network's own and stay with its checkpoint.
        arguments = {
            "pretrain_weights": str(chosen.start_from) if chosen.start_from is not None else None,
            "device": str(resolve_device(settings.run.device)),
            "resolution": chosen.resolution,
            "num_queries": chosen.num_queries,
            "num_select": chosen.num_queries,
        }
        if chosen.start_from is None:
            arguments["num_classes"] = 1
        with _offline(), _explained(chosen.start_from, "rf_detr.start_from"):
            return cls(getattr(rfdetr, _CLASSES[chosen.size])(**arguments), settings, show_progress)

    @classmethod
    def trained(cls, settings: AnodeSettings) -> RfDetr:
        """The network in ``rf_detr_checkpoint``, or the one that ``fit`` has saved.

        Raises UserError if rfdetr is not installed, or the checkpoint is missing, damaged, holds more than data, or
        does not know ``class_label``: it would never find anything.
        """
        _require_package(training=False)
        file = settings.rf_detr_checkpoint or checkpoint_file(settings)
        check_checkpoint(file, "rf_detr_checkpoint")
        model = _load(file, settings)
        if settings.class_label not in model.class_names:
            known = ", ".join(model.class_names[:10])
            raise UserError(f"class_label: {file} does not know {settings.class_label!r}; it knows {known}")
        return cls(model, settings)

    def fit(self, dataset: Path) -> list[float]:
        """Train, and save the best epoch in ``output_dir_model_rf_detr``; it is the one that ``predict`` then uses."""
        chosen, output = self.settings.rf_detr, self.settings.output_dir_model_rf_detr
        device = str(resolve_device(self.settings.run.device))
        with _offline():
            self.model.train(
                dataset_dir=str(dataset),
                output_dir=str(output),
                epochs=chosen.epochs,
                batch_size=chosen.batch_size,
                lr=chosen.learning_rate,
                lr_encoder=chosen.learning_rate,
                device=device,
                seed=self.settings.run.seed,
                num_workers=self.settings.run.workers if device != "cpu" else 0,
                multi_scale=False,
                expanded_scales=False,
                use_ema=False,
                tensorboard=False,
                progress_bar="tqdm" if self.show_progress else None,
                run_test=False,
            )
        file = checkpoint_file(self.settings)
        if not file.is_file():
            raise UserError(f"{output}: training ended without {_BEST}; give it more epochs (rf_detr.epochs)")
        self.model = _load(file, self.settings)
        return training_losses(output / "metrics.csv")

    def predict(self, images: Sequence[np.ndarray]) -> list[list[Box]]:
        """The boxes of each image, uint8 RGB (H, W, 3), above ``rf_detr_threshold``, the highest score first.

        Boxes go by the names of their classes: only those that are called ``class_label`` count, as an untrained
        network also emits the slot of the background.
        """
        if not images:
            return []
        threshold = self.settings.rf_detr_threshold
        with _offline():
            results = self.model.predict([np.ascontiguousarray(i) for i in images], threshold=threshold)
        return [self._boxes(found, image.shape[:2]) for found, image in zip(results, images, strict=True)]

    def _boxes(self, found: object, size: tuple[int, int]) -> list[Box]:
        names = self.model.class_names
        height, width = size
        boxes = []
        corners, scores, classes = (np.asarray(getattr(found, key)) for key in ("xyxy", "confidence", "class_id"))
        for corner, score, index in zip(corners, scores, classes, strict=True):
            if not 0 <= index < len(names) or names[index] != self.settings.class_label:
                continue
            x_min, x_max = np.clip(corner[[0, 2]], 0, width).tolist()
            y_min, y_max = np.clip(corner[[1, 3]], 0, height).tolist()
            if x_min < x_max and y_min < y_max:
                boxes.append(Box(x_min, y_min, x_max, y_max, float(score), self.settings.class_label))
        return sorted(boxes, key=lambda box: -box.score)


def checkpoint_file(settings: AnodeSettings) -> Path:
    """Where ``fit`` leaves the best network."""
    return settings.output_dir_model_rf_detr / _BEST


def check_checkpoint(path: Path, key: str) -> str:
    """The size that a checkpoint says it is of, or "". Raises UserError unless it can be read without running code."""
    if not path.is_file():
        raise UserError(
            f"{key}: no checkpoint at {path}; train one (anode_inspection.py train-rf-detr), or name another"
        )
    try:
        # Published checkpoints hold the arguments of their training as one of these, which are plain records.
        with torch.serialization.safe_globals([argparse.Namespace, types.SimpleNamespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # truncated zip, foreign pickle, hostile pickle: torch raises a different family for each
        raise UserError(
            f"{key}: {path} is damaged, or holds more than tensors and plain values; it is not loaded"
        ) from None
    if not isinstance(content, dict) or "model" not in content:
        raise UserError(f"{key}: {path} is not a checkpoint of RF-DETR")
    sizes = {name: size for size, name in _CLASSES.items()}
    return sizes.get(str(content.get("model_name")), "")


def training_losses(metrics: Path) -> list[float]:
    """The training loss of each epoch, from the ``metrics.csv`` of a training."""
    with metrics.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    key = next((name for name in ("train/loss", "train/loss_epoch") if lines and name in lines[0]), None)
    return [float(line[key]) for line in lines if line[key]] if key is not None else []


def _load(file: Path, settings: AnodeSettings) -> RFDETR:
    device = str(resolve_device(settings.run.device))
    with _offline():
        from rfdetr import RFDETRNano
    with _offline(), _explained(file, "rf_detr_checkpoint"):
        # The class method finds the size by what the checkpoint says of itself.
        return RFDETRNano.from_checkpoint(file, device=device)


def _require_package(training: bool) -> None:
    for name in ("rfdetr", "pytorch_lightning")[: 2 if training else 1]:
        if find_spec(name) is None:
            raise UserError(f"RF-DETR needs the package {name}, which is not installed: {INSTALL}")


@contextmanager
def _explained(path: Path | None, key: str) -> Iterator[None]:
    """What rfdetr raises for a checkpoint that does not fit, in one line."""
    try:
        yield
    except (RuntimeError, ValueError, ImportError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{key}: {path} cannot be used: {reason}") from None


@contextmanager
def _offline() -> Iterator[None]:
    """No hub is asked for anything: what is not on this machine is an error, not a wait. Nor is anything warned of that
    a user cannot change."""
    before = {name: os.environ.get(name) for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")}
    os.environ.update(dict.fromkeys(before, "1"))
    logger = logging.getLogger("rf-detr")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
