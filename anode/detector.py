"""Define the protocol of supervised detectors, and wrap RF-DETR from the optional package ``rfdetr``.

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

from fastener.anode.hits import Box, Found, Predictor
from fastener.anode.settings import AnodeSettings
from fastener.common.errors import UserError
from fastener.common.installation import install_extra
from fastener.models.runtime.device import resolve_device

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rfdetr.detr import RFDETR

INSTALL = install_extra("detection")
# These sizes are under Apache-2.0; the larger sizes have another licence.
_CLASSES = {"nano": "RFDETRNano", "small": "RFDETRSmall", "medium": "RFDETRMedium", "large": "RFDETRLarge"}
# Name that rfdetr gives to the file of its best epoch.
_BEST = "checkpoint_best_total.pth"


class Detector(Predictor, Protocol):
    """Learn from a COCO data set, and find boxes with class names and scores: whatever can take RF-DETR's place."""

    def fit(self, dataset: Path) -> list[float]:
        """Learn from ``dataset``, a folder of train, valid and test with ``_annotations.coco.json`` each.

        Returns the training loss of each epoch.
        """


class RfDetr:
    """Wrap an RF-DETR network. Make it with ``untrained`` or ``trained``.

    Parameters
    ----------
    model
        Network of the package rfdetr.
    settings
        How it is trained, and which boxes count.
    show_progress
        Whether training shows a progress bar.
    """

    def __init__(self, model: RFDETR, settings: AnodeSettings, *, show_progress: bool = False):
        self.model = model
        self.settings = settings
        self.show_progress = show_progress

    @classmethod
    def untrained(
        cls, settings: AnodeSettings, say: Callable[[str], None] = lambda line: None, *, show_progress: bool = False
    ) -> RfDetr:
        """Make a new network with the weights of ``rf_detr.start_from``, or with random weights.

        Random weights are reported to ``say``, with the way to better ones. Raises UserError if rfdetr is not
        installed, or if the checkpoint cannot be read or has another size.
        """
        _require_package(training=True)
        with _offline():
            import rfdetr

        chosen = settings.rf_detr
        if chosen.start_from is None:
            say(
                "RF-DETR starts from random weights: they are enough for simple shapes, but real cracks need hundreds "
                "of labelled slices. Better: python download_models.py --rf-detr "
                f"{chosen.size}, then set rf_detr.start_from to that file"
            )
        else:
            # From a checkpoint of another size, rfdetr would take the tensors that fit and draw the others at random.
            size = check_checkpoint(chosen.start_from, "rf_detr.start_from")
            if size not in ("", chosen.size):
                raise UserError(
                    f"rf_detr.start_from: {chosen.start_from} is of size {size}, rf_detr.size {chosen.size}"
                )
        # These arguments are given here and not to train(), so that the network's checkpoint keeps them.
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
            return cls(getattr(rfdetr, _CLASSES[chosen.size])(**arguments), settings, show_progress=show_progress)

    @classmethod
    def trained(cls, settings: AnodeSettings) -> RfDetr:
        """Load the network in ``rf_detr_checkpoint``, or else the network that ``fit`` has saved.

        Raises UserError if rfdetr is not installed, or if the checkpoint is missing, is damaged, holds more than data,
        or does not know ``class_label``, so that it would never find anything.
        """
        _require_package(training=False)
        file = named_checkpoint(settings)
        if not file.is_file() and settings.rf_detr_checkpoint is not None:
            raise UserError(
                f"rf_detr_checkpoint: no checkpoint at {file}, nor below {settings.output_dir_model_rf_detr}; "
                "train one (anode_inspection.py train-rf-detr), or name another"
            )
        check_checkpoint(file, "rf_detr_checkpoint")
        model = _load(file, settings)
        if settings.class_label not in model.class_names:
            known = ", ".join(model.class_names[:10])
            raise UserError(f"class_label: {file} does not know {settings.class_label!r}; it knows {known}")
        return cls(model, settings)

    def fit(self, dataset: Path) -> list[float]:
        """Train, save the best epoch in ``output_dir_model_rf_detr``, and use it for ``predict``."""
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

    def find(self, images: Sequence[np.ndarray]) -> list[Found]:
        """Find the boxes in each image, and the highest confidence among them."""
        return [Found(boxes, boxes[0].score if boxes else None) for boxes in self.predict(images)]

    def predict(self, images: Sequence[np.ndarray]) -> list[list[Box]]:
        """Find the boxes in each image, uint8 RGB (H, W, 3), above ``rf_detr_threshold``, the highest score first.

        Only boxes whose class is named ``class_label`` count: an untrained network also emits the background class.
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
    """Return the path where ``fit`` saves the best network."""
    return settings.output_dir_model_rf_detr / _BEST


def named_checkpoint(settings: AnodeSettings) -> Path:
    """Return ``rf_detr_checkpoint``, also looked for below ``output_dir_model_rf_detr``; else what ``fit`` saves."""
    named = settings.rf_detr_checkpoint
    if named is None:
        return checkpoint_file(settings)
    below = settings.output_dir_model_rf_detr / named
    return below if not named.is_file() and below.is_file() else named


def check_checkpoint(path: Path, key: str) -> str:
    """Return the size that a checkpoint states, or "". Raises UserError unless it can be read without running code."""
    if not path.is_file():
        raise UserError(
            f"{key}: no checkpoint at {path}; train one (anode_inspection.py train-rf-detr), or name another"
        )
    try:
        # Published checkpoints hold their training arguments in one of these two classes, which are plain records.
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
    """Read the training loss of each epoch from the ``metrics.csv`` of a training."""
    with metrics.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    key = next((name for name in ("train/loss", "train/loss_epoch") if lines and name in lines[0]), None)
    return [float(line[key]) for line in lines if line[key]] if key is not None else []


def _load(file: Path, settings: AnodeSettings) -> RFDETR:
    device = str(resolve_device(settings.run.device))
    with _offline():
        from rfdetr import RFDETRNano
    with _offline(), _explained(file, "rf_detr_checkpoint"):
        # The class method reads the size from the checkpoint.
        return RFDETRNano.from_checkpoint(file, device=device)


def _require_package(training: bool) -> None:
    for name in ("rfdetr", "pytorch_lightning")[: 2 if training else 1]:
        if find_spec(name) is None:
            raise UserError(f"RF-DETR needs the package {name}, which is not installed: {INSTALL}")


@contextmanager
def _explained(path: Path | None, key: str) -> Iterator[None]:
    """Turn errors of rfdetr about a checkpoint that does not fit into one line."""
    try:
        yield
    except (RuntimeError, ValueError, ImportError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{key}: {path} cannot be used: {reason}") from None


@contextmanager
def _offline() -> Iterator[None]:
    """Keep rfdetr from asking any hub and from warnings that a user cannot act on.

    A file that is missing on this machine is then an error at once, and not after a long wait.
    """
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
