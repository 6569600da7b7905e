"""The whole inspector: fit it to healthy photos, inspect new ones, save it in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fastener.common.errors import UserError
from fastener.config import Config, RunSettings
from fastener.inspection import training as steps
from fastener.inspection.base_inspector import BaseInspector
from fastener.inspection.choice import choose
from fastener.inspection.decision import Decision
from fastener.inspection.description import CONFORMAL as CONFORMAL
from fastener.inspection.description import describe
from fastener.inspection.evidence_base import Evidence, Setup
from fastener.inspection.grouping import Grouping
from fastener.inspection.input_check import InputCheck
from fastener.inspection.model_folder import load_model, save_model
from fastener.inspection.model_state import restore_from, state_of
from fastener.inspection.one_photo import add_disturbed, as_of_other_parts, is_one_photo
from fastener.inspection.photo_settings import settled
from fastener.inspection.pretrained import graph_of
from fastener.inspection.reading import Fingerprint, Images, listed, told_once
from fastener.inspection.threshold_report import ThresholdReport, report_of
from fastener.inspection.training import TrainingRecord
from fastener.models.layer_memory import LayerMemory
from fastener.models.progress import Progress, no_progress
from fastener.models.scores import HealthyScores
from fastener.preprocessing.pipeline import Preprocessor


class Inspector(BaseInspector):
    """Learn from healthy photos, then inspect new ones. Make an inspector with ``fit`` or ``load``.

    Parameters
    ----------
    config : Config
        Settings of the model.
    setup : Setup
        Device, backbone and weights that the evidence was built from.
    evidence : dict of str to Evidence
        Fitted evidence by kind.
    decision : Decision
        Calibration on healthy photos: it joins the kinds of evidence into one score.
    training : TrainingRecord
        Identity of the photos that the model was trained on.
    check : InputCheck, optional
        Tells photos that cannot be judged. Models that were saved before there was a check have none.

    Attributes
    ----------
    threshold, threshold_source, preprocessor
        See ``BaseInspector``.
    report : ThresholdReport or None
        What the threshold rests on; None for models that were saved before there was a report.
    notes : dict of str to str
        Text that is saved with the model, for callers that have to know again how they made the photos.
    new_photos_ : int
        Number of photos that the last ``fit`` or ``partial_fit`` learned; 0 for a loaded model.
    """

    evidence: dict[str, Evidence]

    def __init__(
        self,
        config: Config,
        setup: Setup,
        *,
        evidence: dict[str, Evidence],
        decision: Decision,
        training: TrainingRecord,
        check: InputCheck | None = None,
    ):
        super().__init__(config, evidence=evidence, decision=decision, check=check)
        self.backbone = setup.backbone
        self.device = setup.device
        self.training = training
        self.report: ThresholdReport | None = None
        self.notes: dict[str, str] = {}
        self.new_photos_ = training.n_photos

    @classmethod
    def fit(
        cls,
        images: Images,
        config: Config | None = None,
        *,
        weights: Path | None = None,
        groups: Sequence[int] | None = None,
        preprocessor: Preprocessor | None = None,
        progress: Progress = no_progress,
        warn: steps.Warn = steps.warn_python,
        checkpoint: Path | None = None,
        memory: LayerMemory | None = None,
        report: bool = True,
        **settings: Any,
    ) -> Inspector:
        """Fit an inspector to healthy photos. A few batches of photos are in memory at a time.

        Parameters
        ----------
        images : paths, arrays, Pillow images or a folder
            Healthy photos. With a single one, the threshold is a guess from disturbed copies of it, as ``warn`` says.
        config : Config, optional
            Settings of the model; default settings if it is missing.
        weights : Path, optional
            File of the backbone's weights, where it is not found by itself.
        groups : sequence of int, (n,), optional
            Number of the group of each photo, where photos are alike for another reason than being healthy, such as
            slices of one battery. The photos of a group are left out together when they are scored as unseen, so that
            the threshold holds for unseen batteries. Copies of photos are not looked for then. If it is missing,
            copies of one photo make a group.
        preprocessor : Preprocessor, optional
            Brings photos into the canonical frame; ``Preprocessor(config.preprocess)`` if it is missing. One that cuts
            photos into tiles has to be given again, by ``with_preprocessor``, to a loaded model.
        progress : callable
            Wraps what is iterated over, to show how far the work is; shows nothing by default.
        warn : callable
            Takes one line of text that the user should read; Python's ``warnings.warn`` by default.
        checkpoint : Path, optional
            File from which an interrupted training of an autoencoder continues.
        memory : LayerMemory, optional
            Remembers what networks saw in photos, for several models that are fitted and measured on the same ones.
        report : bool
            Whether to find out which synthetic defects the model finds, and to warn of what the threshold rests on.
        **settings
            Settings that override ``config``, each as ``section__key=value``.

        Raises
        ------
        UserError
            If there is no photo, a photo cannot be read, all are of one of the ``groups``, weights that are named
            cannot be had, or a setting is unknown.
        """
        config = steps.with_settings(config, settings)
        sources = listed(images)
        if preprocessor is None:
            config = settled(config, sources)
            preprocessor = Preprocessor(config.preprocess)
        choice = choose(config, weights)
        if choice.warning:
            warn(choice.warning)
        setup = steps.build_setup(config, choice, progress=progress, checkpoint=checkpoint, memory=memory)
        evidence = steps.build_evidence(setup, choice.kinds)
        if config.run.precision == "int8":
            steps.quantise_networks(sources, evidence, config, preprocessor)
        photos = steps.collect(sources, evidence, config, preprocessor=preprocessor, progress=progress)
        steps.warn_of_missed_parts(photos, config, warn)
        for line in told_once((one.name, note) for one in photos for note in one.notes):
            warn(line)
        if groups is None and is_one_photo(photos):
            photos, grouping = add_disturbed(photos, sources[0], evidence, config, preprocessor=preprocessor)
        else:
            grouping = Grouping.of(photos, groups)
        scores = steps.fit_evidence(evidence, steps.per_tile(grouping.left_out, photos))
        evidence = steps.that_speak(evidence, config, warn)
        scores = as_of_other_parts({kind: scores[kind] for kind in evidence}, evidence, grouping)
        fitted = cls.calibrated(config, setup, evidence=evidence, photos=photos, grouping=grouping, scores=scores)
        fitted = fitted.with_preprocessor(preprocessor)
        if not report:
            return fitted
        fitted.report = steps.report(fitted, sources, photos, grouping, progress=progress)
        for line in fitted.report.warnings():
            warn(line)
        return fitted

    @classmethod
    def calibrated(
        cls,
        config: Config,
        setup: Setup,
        *,
        evidence: dict[str, Evidence],
        photos: Sequence[Fingerprint],
        grouping: Grouping,
        scores: Mapping[str, HealthyScores],
    ) -> Inspector:
        """Make an inspector of fitted evidence: calibrate the decision, and record the photos.

        ``scores`` are by kind of evidence, with one value for each tile of ``photos``, as ``fit_evidence`` gives them.
        """
        decision = steps.calibrate(scores, evidence, steps.per_tile(grouping.copies, photos), config)
        training = TrainingRecord.of(photos, grouping)
        check = steps.input_check(photos)
        return cls(config, setup, evidence=evidence, decision=decision, training=training, check=check)

    def partial_fit(
        self, images: Images, *, groups: Sequence[int] | None = None, progress: Progress = no_progress
    ) -> Inspector:
        """Learn more healthy photos, and return this inspector itself; ``new_photos_`` says how many were new.

        Photos that the model knows, and their copies, are passed over, unless ``groups`` (n,) say which are alike, as
        in ``fit``. The threshold moves with the new photos; one that came from elsewhere is dropped. Raises UserError
        if a photo cannot be read or none is new.
        """
        sources = listed(images)
        known = self.training.signatures if groups is None else None
        photos = steps.collect(
            sources, self.evidence, self.config, preprocessor=self.preprocessor, progress=progress, known=known
        )
        if not photos:
            raise UserError(f"none of the {len(sources)} photos is new: the model knows them, or copies of them")
        self.training = self.training.extended(photos, groups)
        copies, left_out = self.training.groups[-len(photos) :], self.training.left_out[-len(photos) :]
        scores = steps.fit_evidence(self.evidence, steps.per_tile(left_out, photos))
        self.decision = self.decision.extend(scores, steps.per_tile(copies, photos))
        self.threshold, self.threshold_source = self.decision.threshold()[0], CONFORMAL
        if self.check is not None:
            self.check = self.check.extended(steps.figures_of(photos))
        # Models that were saved before groups were do not know which photo a score belongs to.
        if self.decision.groups.size:
            basis = report_of(self.decision, self.training.names_of(self.decision.groups))
            self.report = replace(basis, disturbed=self.training.disturbed)
        self.new_photos_ = len(photos)
        return self

    def knows(self, photos: Sequence[Fingerprint]) -> np.ndarray:
        """Tell whether each photo, or a copy of it, was among the training photos: bool (n,)."""
        return self.training.knows(photos)

    @property
    def holds_networks(self) -> bool:
        """Whether a saved file holds every network of the model, so that it needs no weights beside it."""
        extractors = [one.pretrained for one in self.evidence.values() if one.pretrained is not None]
        return all(graph_of(extractor) for extractor in extractors)

    def describe(self) -> str:
        """Describe the model in a few lines for a person."""
        return describe(self)

    def save(self, path: Path | str) -> None:
        """Write everything that is needed to give the same scores again, except the backbone's public weights.

        The file of a model that runs on ONNX holds its network, too. ``path`` is a file, or a folder, see
        inspection/model_folder.py. Raises UserError if it cannot be written.
        """
        save_model(state_of(self), Path(path))

    @classmethod
    def load(
        cls,
        path: Path | str,
        device: str = "auto",
        *,
        weights: Path | None = None,
        run: RunSettings | None = None,
    ) -> Inspector:
        """Read a saved inspector.

        Parameters
        ----------
        path : Path or str
            File or folder of the model.
        device : str
            "auto", "cpu", "cuda" or "cuda:N".
        weights : Path, optional
            File of the backbone's weights, where it is not found by itself.
        run : RunSettings, optional
            Batch size, workers, memory limit, precision and runtime for this machine; the settings of training, as far
            as they can be used here, if it is missing.

        Raises
        ------
        UserError
            If the file is missing, damaged or of another version, the weights are missing or differ, or the model
            cannot be computed in the precision or by the runtime of ``run``.
        """
        return cls.of_state(load_model(Path(path)), Path(path), device, weights=weights, run=run)

    @classmethod
    def of_state(
        cls,
        state: dict[str, Any],
        path: Path,
        device: str = "auto",
        *,
        weights: Path | None = None,
        run: RunSettings | None = None,
    ) -> Inspector:
        """Restore an inspector from the ``state`` in the file at ``path``; see ``load``."""
        parts = restore_from(state, path, device=device, weights=weights, run=run)
        loaded = cls(
            parts.config,
            parts.setup,
            evidence=parts.evidence,
            decision=parts.decision,
            training=parts.training,
            check=parts.check,
        )
        loaded.notes, loaded.report, loaded.new_photos_ = parts.notes, parts.report, 0
        return loaded.with_threshold(parts.threshold, parts.threshold_source)
