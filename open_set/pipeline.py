"""All steps of open-set recognition, each computed once and kept in a file beside the fingerprint of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fastener.common.errors import UserError
from fastener.datasets.neu import load_neu
from fastener.datasets.severstal import TABLE, SteelStrip, load_severstal
from fastener.inspection.inspector import Inspector
from fastener.inspection.reading import batches
from fastener.models.backbones import BACKBONES
from fastener.models.progress import Progress, no_progress
from fastener.models.runtime.device import resolve_device
from fastener.models.runtime.weights import find_weights, how_to_get
from fastener.open_set.artifacts import State, fingerprint_of, stored
from fastener.open_set.classifier import FINE_TUNED, SCRATCH, Classifier, Embedded, Fronts
from fastener.open_set.decisions import Decisions
from fastener.open_set.images import ImageSet, files_checksum, read_images
from fastener.open_set.one_stage import fit_rejector, one_stage
from fastener.open_set.runtime import measure_runtime
from fastener.open_set.settings import SCORE_NAMES, OpenSetSettings, SplitSettings
from fastener.open_set.splits import TEST, TRAIN, UNKNOWN, Split, make_split
from fastener.open_set.steel_gate import SteelGate, SteelRoles, steel_roles
from fastener.open_set.two_stage import rejection_rules, two_stage

Say = Callable[[str], None]
_TIMED = 20  # images of each split


@dataclass(frozen=True)
class GateScores:
    """PatchCore's scores: of all NEU images, and of the steel strips that were held out for the test."""

    neu: np.ndarray
    test_normal: np.ndarray
    test_defective: np.ndarray
    threshold: float
    alpha: float


class Pipeline:
    """The steps, by the names of the sub-commands. Each takes what it needs from the ones before it.

    Files go to ``settings.output``: ``patchcore/`` for what all splits share, ``split_<name>/<step>/`` for the rest.
    """

    def __init__(
        self,
        settings: OpenSetSettings,
        splits: Mapping[str, SplitSettings],
        progress: Progress = no_progress,
        say: Say = lambda line: None,
        warn: Say = lambda line: None,
    ):
        self.settings, self.splits = settings, dict(splits)
        self.progress, self.say, self.warn = progress, say, warn
        self.output = settings.output
        self.device = resolve_device(settings.run.device)

    # What is read, and with which network.

    @cached_property
    def images(self) -> ImageSet:
        """The NEU images."""
        found, skipped = load_neu(self.settings.data.neu_root)
        for path in skipped:
            self.warn(f"{path}: neither its folder nor its name says which class it is of; left out")
        images = read_images(found, self.settings.classifier.size, self.settings.run, self.progress)
        for line in images.errors:
            self.warn(f"{line}; left out")
        return images

    @cached_property
    def strips(self) -> list[SteelStrip]:
        """The images in the Severstal layout."""
        return load_severstal(self.settings.data.severstal_root)

    @cached_property
    def weights(self) -> Path | None:
        """The file of ImageNet weights; None where the classifier does without. UserError if named ones are missing."""
        wanted = self.settings.classifier
        if wanted.mode == SCRATCH:
            return None
        found = find_weights(BACKBONES[wanted.backbone], self.settings.weights)
        if found is None and wanted.mode != "auto":
            get = how_to_get(BACKBONES[wanted.backbone])
            raise UserError(f"no weights for {wanted.backbone}: {get}; or --set classifier.mode=scratch")
        if found is None:
            self.warn(f"no weights for {wanted.backbone}: the classifier is trained from scratch, a last resort")
        return found

    @property
    def mode(self) -> str:
        """fine_tuned, frozen or scratch."""
        wanted = self.settings.classifier.mode
        if wanted != "auto":
            return wanted
        return SCRATCH if self.weights is None else FINE_TUNED

    @property
    def gate_backbone(self) -> str:
        """PatchCore's network, or "filters"."""
        wanted = self.settings.steel.backbone
        return wanted if wanted != "auto" else "filters" if self.weights is None else self.settings.classifier.backbone

    def split(self, name: str) -> Split:
        """Who trains, calibrates and is tested in a split."""
        images, settings = self.images, self.settings
        return make_split(images.labels, images.groups, self.splits[name], settings.data, settings.run.seed)

    # The steps.

    def classifier(self, name: str) -> Classifier:
        """train-classifier."""
        classifier, split = self.new_classifier(self.device), self.split(name)
        train = split.indices(TRAIN)

        def train_it() -> State:
            self.say(f"split {name}: training the classifier on {len(train)} images, {self.mode}")
            return classifier.fit(self.fronts[train], split.truth[train], self.progress).state()

        path = self.folder(name, "classifier") / "classifier.pt"
        return classifier.restore(stored(path, self._classifier_inputs(name), train_it))

    def embeddings(self, name: str) -> Embedded:
        """extract-embeddings: of all images, by their place."""

        def embed() -> State:
            found = self.classifier(name).embed(self.fronts)
            self.say(f"split {name}: embeddings of {len(found)} images")
            return {"embeddings": torch.from_numpy(found.embeddings), "logits": torch.from_numpy(found.logits)}

        state = stored(self.folder(name, "embeddings") / "embeddings.pt", self._classifier_inputs(name), embed)
        return Embedded(state["embeddings"].numpy(), state["logits"].numpy())

    def osr(self, name: str) -> list[Decisions]:
        """run-osr: the one-stage approach."""
        inputs = self._osr_inputs(name)

        def decide() -> State:
            self.say(f"split {name}: one stage")
            return _as_state(one_stage(self.split(name), self.embeddings(name), self.settings.rejection))

        return _from_state(stored(self.folder(name, "osr") / "decisions.pt", inputs, decide))

    def patchcore(self) -> SteelGate:
        """train-patchcore: once for all splits."""
        return self.gate(str(self.device))

    def gate(self, device: str) -> SteelGate:
        """The trained PatchCore, on "cpu" or another device."""
        self._gate_training()
        return SteelGate(Inspector.load(self._gate_file, device, weights=self.gate_weights, run=self.settings.run))

    def gate_scores(self) -> GateScores:
        """PatchCore's scores of all NEU images, and of the steel strips held out for the test."""
        inputs = {"patchcore": fingerprint_of(self._gate_inputs), "images": self.images.checksum}

        def score() -> State:
            gate, roles = self.patchcore(), self._roles
            self.say(f"PatchCore: scoring {len(self.images.paths)} NEU images and the held-out strips")
            paths = {
                "neu": self.images.paths,
                "test_normal": [self.strips[place].path for place in roles.test_normal],
                "test_defective": [self.strips[place].path for place in roles.test_defective],
            }
            return {key: torch.from_numpy(gate.scores(found, self.progress)) for key, found in paths.items()}

        state = stored(self.output / "patchcore" / "scores.pt", inputs, score)
        training = self._gate_training()
        return GateScores(**{key: one.numpy() for key, one in state.items()}, **training)

    def cascade(self, name: str) -> list[Decisions]:
        """run-cascade: the two-stage approach, in both modes."""

        def decide() -> State:
            gate = self.gate_scores()
            self.say(f"split {name}: two stages")
            rejection = self.settings.rejection
            return _as_state(two_stage(self.split(name), self.embeddings(name), gate.neu, gate.threshold, rejection))

        return _from_state(stored(self.folder(name, "cascade") / "decisions.pt", self.cascade_inputs(name), decide))

    def runtime(self, name: str) -> dict[str, Any]:
        """benchmark-runtime: by device, of some test images."""
        devices = ["cpu", *(["cuda"] if self.device.type == "cuda" else [])]
        inputs = {**self.cascade_inputs(name), "devices": devices, "threads": torch.get_num_threads()}

        def time_it() -> State:
            self.say(f"split {name}: timing")
            settings, split = self.settings.rejection, self.split(name)
            embedded = self.embeddings(name)
            names = rejection_rules(settings.use_confidence)[SCORE_NAMES.index(settings.score)]
            rejector = fit_rejector(split, embedded, names, settings)
            paths = self.tested_paths(name)
            paths = paths[:: max(1, len(paths) // _TIMED)][:_TIMED]
            trained = self.classifier(name).state()
            return {
                device: measure_runtime(
                    self.new_classifier(torch.device(device)).restore(trained), rejector, self.gate(device), paths
                )
                for device in devices
            }

        return stored(self.output / f"split_{name}" / "runtime.pt", inputs, time_it)

    def folder(self, name: str, step: str) -> Path:
        """Where a step of a split writes."""
        return self.output / f"split_{name}" / step

    def tested_paths(self, name: str) -> list[Path]:
        """The split's test images, in the order of its decisions."""
        return [self.images.paths[place] for place in self.split(name).indices(TEST, UNKNOWN)]

    def new_classifier(self, device: torch.device) -> Classifier:
        """An untrained classifier as the settings want it."""
        settings = self.settings
        return Classifier(settings.classifier, self.mode, self.weights, settings.run, device)

    @cached_property
    def fronts(self) -> Fronts:
        """What all NEU images become in the stages that do not learn: the same for all splits."""
        squares = self.images.squares
        size = self.settings.run.batch_size
        groups = batches(squares, size)
        shown = self.progress(groups, -(-len(squares) // size), "features")
        return self.new_classifier(self.device).fronts(np.stack(batch) for batch in shown)

    @cached_property
    def _roles(self) -> SteelRoles:
        return steel_roles(self.strips, self.settings.steel, self.settings.run.seed)

    @property
    def _gate_file(self) -> Path:
        return self.output / "patchcore" / "inspector.pkl"

    @cached_property
    def gate_weights(self) -> Path | None:
        """The file of weights of PatchCore's network; None for filters. UserError if there is none."""
        settings, name = self.settings, self.gate_backbone
        if name == "filters":
            return None
        found = find_weights(BACKBONES[name], settings.weights if name == settings.classifier.backbone else None)
        if found is None:
            raise UserError(f"steel.backbone {name}: no weights: {how_to_get(BACKBONES[name])}")
        return found

    def _gate_training(self) -> State:
        """Train PatchCore if its file is missing or its inputs have changed: threshold, and the alpha it stands for."""
        summary = self.output / "patchcore" / "threshold.pt"
        if not self._gate_file.is_file():
            summary.unlink(missing_ok=True)

        def train() -> State:
            settings, roles = self.settings, self._roles
            self.say(f"PatchCore: learning {len(roles.train)} defect-free strips with {self.gate_backbone}")
            gate, alpha = SteelGate.train(
                self.strips,
                roles,
                settings.steel,
                backbone=self.gate_backbone,
                weights=self.gate_weights,
                run=settings.run,
                progress=self.progress,
            )
            gate.inspector.save(self._gate_file)
            return {"threshold": gate.threshold, "alpha": alpha}

        return stored(summary, self._gate_inputs, train)

    # What each step hangs on.

    @cached_property
    def _common_inputs(self) -> dict[str, Any]:
        return {"seed": self.settings.run.seed, "batch_size": self.settings.run.batch_size}

    @cached_property
    def _gate_inputs(self) -> dict[str, Any]:
        table = self.settings.data.severstal_root / TABLE
        return {
            **self._common_inputs,
            "strips": files_checksum([strip.path for strip in self.strips] + [table]),
            "steel": self.settings.steel.model_dump(mode="json"),
            "backbone": self.gate_backbone,
            "weights": _checksum(self.gate_weights),
        }

    def _classifier_inputs(self, name: str) -> dict[str, Any]:
        settings = self.settings
        return {
            **self._common_inputs,
            "images": self.images.checksum,
            "split": self.splits[name].model_dump(mode="json"),
            "shares": [settings.data.validation, settings.data.test],
            "classifier": settings.classifier.model_dump(mode="json"),
            "mode": self.mode,
            "weights": _checksum(self.weights),
        }

    def _osr_inputs(self, name: str) -> dict[str, Any]:
        return {**self._classifier_inputs(name), "rejection": self.settings.rejection.model_dump(mode="json")}

    def cascade_inputs(self, name: str) -> dict[str, Any]:
        """All that the decisions of a split hang on, for fingerprints."""
        return {**self._osr_inputs(name), "patchcore": fingerprint_of(self._gate_inputs)}


def _as_state(decisions: list[Decisions]) -> State:
    return {"decisions": [one.state() for one in decisions]}


def _from_state(state: State) -> list[Decisions]:
    return [Decisions.from_state(one) for one in state["decisions"]]


@cache
def _checksum(path: Path | None) -> str:
    return "" if path is None else files_checksum([path])
