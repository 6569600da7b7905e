"""Read the inputs of all steps of open-set recognition, and fingerprint them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fastener.common.errors import UserError
from fastener.datasets.neu import load_neu
from fastener.datasets.severstal import PREFIX, TABLE, SteelStrip, load_severstal
from fastener.inspection.reading import batches
from fastener.models.backbones import BACKBONES, DEFAULT_BACKBONE
from fastener.models.progress import Progress, no_progress
from fastener.models.runtime.device import resolve_device
from fastener.models.runtime.weights import find_local_weights, find_weights, how_to_get
from fastener.open_set.artifacts import fingerprint_of
from fastener.open_set.classifier import FINE_TUNED, SCRATCH, Classifier, FrozenOutputs
from fastener.open_set.images import DefectImage, ImageSet, files_checksum, read_images
from fastener.open_set.settings import OpenSetSettings, SplitSettings
from fastener.open_set.splits import OpenSetSplit, make_split

Say = Callable[[str], None]
BEST_BACKBONE = "resnet50"
# Changes with the way in which scores become decisions, so that decisions of an earlier version are not reused.
_RULES = 2


class Inputs:
    """Read data sets, splits and weights when a step first needs them.

    Parameters
    ----------
    settings
        All settings of open-set recognition.
    splits
        Split name -> its known and unknown classes.
    progress
        Wraps long loops to show how far they are.
    say
        Gets one line for each step that runs.
    warn
        Gets one line for each file that is left out, and for each substitute that is used.
    """

    def __init__(
        self,
        settings: OpenSetSettings,
        splits: Mapping[str, SplitSettings],
        progress: Progress = no_progress,
        *,
        say: Say = lambda line: None,
        warn: Say = lambda line: None,
    ):
        self.settings, self.splits = settings, dict(splits)
        self.progress, self.say, self.warn = progress, say, warn
        self.device = resolve_device(settings.run.device)

    @cached_property
    def images(self) -> ImageSet:
        """The images of all classes that can be read."""
        found = self._listed()
        images = read_images(found, self.settings.classifier.size, self.settings.run, progress=self.progress)
        for line in images.errors:
            self.warn(f"{line}; left out")
        return images

    def _listed(self) -> list[DefectImage]:
        """List the images of the folder of classes, and strips if a split names a class of theirs."""
        wanted = {name for split in self.splits.values() for name in (*split.known, *split.unknown)}
        of_strips = {name for name in wanted if name.startswith(PREFIX)}
        found: list[DefectImage] = []
        if wanted - of_strips:
            images, skipped = load_neu(self.settings.data.neu_root)
            for path in skipped:
                self.warn(f"{path}: neither its folder nor its name says which class it is of; left out")
            found += images
            if unused := sorted({image.defect for image in images} - wanted):
                self.warn(f"no split names class {', '.join(unused)}: its images take no part; name it by --unknown")
        return found + [strip for strip in (self.strips if of_strips else ()) if strip.defect in of_strips]

    @cached_property
    def strips(self) -> list[SteelStrip]:
        """The images in the Severstal layout."""
        return load_severstal(self.settings.data.severstal_root)

    @cached_property
    def weights(self) -> Path | None:
        """The file of ImageNet weights, None if the classifier needs none. UserError if weights are missing."""
        wanted = self.settings.classifier
        if wanted.mode == SCRATCH:
            return None
        backbone = BACKBONES[self.backbone]
        found = find_weights(backbone, self.settings.weights)
        if found is None and wanted.mode != "auto":
            raise UserError(f"no weights for {backbone.name}: {how_to_get(backbone)}; or --set classifier.mode=scratch")
        if found is None:
            self.warn(f"no weights for {backbone.name}: the classifier is trained from scratch, a last resort")
        return found

    @cached_property
    def backbone(self) -> str:
        """Network of the classifier: the one in the settings, or for "auto" the best whose weights are here."""
        wanted = self.settings.classifier.backbone
        if wanted != "auto":
            return wanted
        here = self.settings.weights is not None or find_local_weights(BACKBONES[BEST_BACKBONE]) is not None
        return BEST_BACKBONE if here else DEFAULT_BACKBONE

    @property
    def mode(self) -> str:
        """Mode of the classifier: fine_tuned, frozen or scratch."""
        wanted = self.settings.classifier.mode
        if wanted != "auto":
            return wanted
        return SCRATCH if self.weights is None else FINE_TUNED

    @property
    def gate_backbone(self) -> str:
        """Network of PatchCore, or "filters"."""
        wanted = self.settings.steel.backbone
        return wanted if wanted != "auto" else "filters" if self.weights is None else self.backbone

    @cached_property
    def gate_weights(self) -> Path | None:
        """The file of weights of PatchCore's network; None for filters. UserError if the weights are missing."""
        settings, name = self.settings, self.gate_backbone
        if name == "filters":
            return None
        found = find_weights(BACKBONES[name], settings.weights if name == self.backbone else None)
        if found is None:
            raise UserError(f"steel.backbone {name}: no weights: {how_to_get(BACKBONES[name])}")
        return found

    def split(self, name: str) -> OpenSetSplit:
        """Share out the images: which train, which calibrate, and which are tested in a split."""
        images, settings = self.images, self.settings
        split = self.splits[name]
        return make_split(images.labels, images.groups, split, shares=settings.data, seed=settings.run.seed)

    def new_classifier(self, device: torch.device) -> Classifier:
        """Make an untrained classifier by the settings."""
        settings = self.settings
        chosen = settings.classifier.model_copy(update={"backbone": self.backbone})
        return Classifier(chosen, self.mode, weights=self.weights, run=settings.run, device=device)

    @cached_property
    def frozen_outputs(self) -> FrozenOutputs:
        """Outputs of the classifier's frozen stages for all images; they are the same in all splits."""
        squares = self.images.squares
        size = self.settings.run.batch_size
        shown = self.progress(batches(squares, size), -(-len(squares) // size), "features")
        return self.new_classifier(self.device).run_frozen_stages(np.stack(batch) for batch in shown)

    @cached_property
    def gate_inputs(self) -> dict[str, Any]:
        """Everything that PatchCore's training depends on, for fingerprints."""
        table = self.settings.data.severstal_root / TABLE
        return {
            **self._common_inputs,
            "strips": files_checksum([strip.path for strip in self.strips] + [table]),
            "steel": self.settings.steel.model_dump(mode="json"),
            "backbone": self.gate_backbone,
            "weights": _checksum(self.gate_weights),
        }

    def classifier_inputs(self, name: str) -> dict[str, Any]:
        """Everything that the classifier of a split depends on, for fingerprints."""
        settings = self.settings
        return {
            **self._common_inputs,
            "images": self.images.checksum,
            "split": self.splits[name].model_dump(mode="json"),
            "shares": [settings.data.validation, settings.data.test],
            "classifier": settings.classifier.model_dump(mode="json"),
            "backbone": self.backbone,
            "mode": self.mode,
            "weights": _checksum(self.weights),
        }

    def osr_inputs(self, name: str) -> dict[str, Any]:
        """Everything that the one-stage decisions of a split depend on, for fingerprints."""
        return {
            **self.classifier_inputs(name),
            "rules": _RULES,
            "rejection": self.settings.rejection.model_dump(mode="json"),
        }

    def cascade_inputs(self, name: str) -> dict[str, Any]:
        """Everything that the two-stage decisions of a split depend on, for fingerprints."""
        return {**self.osr_inputs(name), "patchcore": fingerprint_of(self.gate_inputs)}

    @cached_property
    def _common_inputs(self) -> dict[str, Any]:
        return {"seed": self.settings.run.seed, "batch_size": self.settings.run.batch_size}


@cache
def _checksum(path: Path | None) -> str:
    return "" if path is None else files_checksum([path])
