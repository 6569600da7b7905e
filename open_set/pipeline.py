"""Run the steps of open-set recognition; each result is kept in a file beside the fingerprint of its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fastener.inspection.inspector import Inspector
from fastener.models.progress import Progress, no_progress
from fastener.open_set.artifacts import State, fingerprint_of, stored
from fastener.open_set.classifier import FROZEN, SCRATCH, Classifier, Embedded
from fastener.open_set.decisions import Decisions
from fastener.open_set.inputs import Inputs, Say
from fastener.open_set.left_out import choose_score, leave_classes_out
from fastener.open_set.one_stage import fit_rejectors, one_stage
from fastener.open_set.runtime import measure_runtime
from fastener.open_set.settings import OpenSetSettings, ScoreName, SplitSettings
from fastener.open_set.splits import TEST, TRAIN, UNKNOWN
from fastener.open_set.steel_gate import SteelGate, SteelRoles, steel_roles
from fastener.open_set.two_stage import rejection_rule, two_stage

_TIMED = 20  # images of each split


@dataclass(frozen=True)
class GateScores:
    """Hold PatchCore's scores.

    Parameters
    ----------
    neu
        Score of each NEU image, float64 (n,).
    test_normal, test_defective
        Scores of the steel strips that are held out for the test.
    threshold
        Score above which an image is defective.
    alpha
        Share of defect-free images that the threshold may flag.
    """

    neu: np.ndarray
    test_normal: np.ndarray
    test_defective: np.ndarray
    threshold: float
    alpha: float


class Pipeline(Inputs):
    """Run the steps, which are named like the sub-commands. Each step runs the earlier steps that it needs.

    Files go to ``settings.output``: ``patchcore/`` holds what all splits share, ``split_<name>/<step>/`` the rest. The
    parameters are those of ``Inputs``.
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
        super().__init__(settings, splits, progress, say=say, warn=warn)
        self.output = settings.output

    def train_classifier(self, name: str) -> Classifier:
        """Train the classifier of a split."""
        classifier, split = self.new_classifier(self.device), self.split(name)
        train = split.indices(TRAIN)

        def train_it() -> State:
            self.say(f"split {name}: training the classifier on {len(train)} images, {self.mode}")
            return classifier.fit(self.frozen_outputs[train], split.truth[train], self.progress).state()

        path = self.folder(name, "classifier") / "classifier.pt"
        return classifier.restore(stored(path, self.classifier_inputs(name), train_it))

    def extract_embeddings(self, name: str) -> Embedded:
        """Embed all NEU images, in their order, with the classifier of a split."""

        def embed() -> State:
            found = self.train_classifier(name).embed(self.frozen_outputs)
            self.say(f"split {name}: embeddings of {len(found)} images")
            return {"embeddings": torch.from_numpy(found.embeddings), "logits": torch.from_numpy(found.logits)}

        state = stored(self.folder(name, "embeddings") / "embeddings.pt", self.classifier_inputs(name), embed)
        return Embedded(state["embeddings"].numpy(), state["logits"].numpy())

    def run_osr(self, name: str) -> list[Decisions]:
        """Decide by the one-stage approach, with each score."""

        def decide() -> State:
            self.say(f"split {name}: one stage")
            return _as_state(one_stage(self.split(name), self.extract_embeddings(name), self.settings.rejection))

        return _from_state(stored(self.folder(name, "osr") / "decisions.pt", self.osr_inputs(name), decide))

    def left_out(self, name: str) -> list[dict[str, Any]]:
        """Leave out each known class in turn, see ``leave_classes_out``; nothing for a network without weights."""

        def measure() -> State:
            if self.mode == SCRATCH:
                return {"rows": []}
            self.say(f"split {name}: leaving out each known class in turn")
            features = self.new_classifier(self.device).features(self.frozen_outputs)
            chosen = self.settings.classifier.model_copy(update={"backbone": self.backbone})
            head = Classifier(chosen, FROZEN, weights=self.weights, run=self.settings.run, device=self.device)

            def learn(places: np.ndarray, labels: np.ndarray) -> Embedded:
                return head.fit(features[places], labels).embed(features)

            return {"rows": leave_classes_out(self.split(name), learn, self.settings.rejection)}

        state = stored(self.folder(name, "osr") / "left_out.pt", self.osr_inputs(name), measure)
        rows: list[dict[str, Any]] = state["rows"]
        return rows

    def score(self, name: str) -> ScoreName:
        """Name the score that decides in a split: the score in the settings, or the best on left-out classes."""
        wanted = self.settings.rejection.score
        return choose_score(self.left_out(name)) if wanted == "auto" else wanted

    def train_patchcore(self) -> SteelGate:
        """Train PatchCore on defect-free steel, once for all splits."""
        return self.gate(str(self.device))

    def gate(self, device: str) -> SteelGate:
        """Load the trained PatchCore on "cpu" or another device; train it if that has not been done."""
        self._gate_training()
        return SteelGate(Inspector.load(self._gate_file, device, weights=self.gate_weights, run=self.settings.run))

    def gate_scores(self) -> GateScores:
        """Score all NEU images, and the steel strips held out for the test, by PatchCore."""
        inputs = {"patchcore": fingerprint_of(self.gate_inputs), "images": self.images.checksum}

        def score() -> State:
            gate, roles = self.train_patchcore(), self._roles
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

    def run_cascade(self, name: str) -> list[Decisions]:
        """Decide by the two-stage approach in both modes, with each score."""

        def decide() -> State:
            gate = self.gate_scores()
            self.say(f"split {name}: two stages")
            return _as_state(
                two_stage(
                    self.split(name),
                    self.extract_embeddings(name),
                    gate_scores=gate.neu,
                    gate_threshold=gate.threshold,
                    settings=self.settings.rejection,
                )
            )

        return _from_state(stored(self.folder(name, "cascade") / "decisions.pt", self.cascade_inputs(name), decide))

    def benchmark_runtime(self, name: str) -> dict[str, Any]:
        """Time all stages on each device, on a sample of the test images."""
        devices = ["cpu", *(["cuda"] if self.device.type == "cuda" else [])]
        inputs = {**self.cascade_inputs(name), "devices": devices, "threads": torch.get_num_threads()}

        def time_it() -> State:
            self.say(f"split {name}: timing")
            settings, split = self.settings.rejection, self.split(name)
            rule = rejection_rule(self.score(name), settings.use_confidence)
            (rejector,) = fit_rejectors(split, self.extract_embeddings(name), [rule], settings)
            paths = self.tested_paths(name)
            paths = paths[:: max(1, len(paths) // _TIMED)][:_TIMED]
            trained = self.train_classifier(name).state()
            return {
                device: measure_runtime(
                    self.new_classifier(torch.device(device)).restore(trained), rejector, self.gate(device), paths=paths
                )
                for device in devices
            }

        return stored(self.output / f"split_{name}" / "runtime.pt", inputs, time_it)

    def folder(self, name: str, step: str) -> Path:
        """Return the folder into which a step of a split writes."""
        return self.output / f"split_{name}" / step

    def tested_paths(self, name: str) -> list[Path]:
        """List the test images of a split, in the order of its decisions."""
        return [self.images.paths[place] for place in self.split(name).indices(TEST, UNKNOWN)]

    @cached_property
    def _roles(self) -> SteelRoles:
        return steel_roles(self.strips, self.settings.steel, self.settings.run.seed)

    @property
    def _gate_file(self) -> Path:
        return self.output / "patchcore" / "inspector.pkl"

    def _gate_training(self) -> State:
        """Train PatchCore if its file is missing or its inputs have changed. Returns its threshold and its alpha."""
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
                warn=self.warn,
            )
            gate.inspector.save(self._gate_file)
            return {"threshold": gate.threshold, "alpha": alpha}

        return stored(summary, self.gate_inputs, train)


def _as_state(decisions: list[Decisions]) -> State:
    return {"decisions": [one.state() for one in decisions]}


def _from_state(state: State) -> list[Decisions]:
    return [Decisions.from_state(one) for one in state["decisions"]]
